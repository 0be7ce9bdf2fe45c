// A chart of bars, with its numbers as text for those who do not see it.

export interface Bar { key: string; value: number; text: string; label?: string }

export function Bars({ bars, label }: { bars: Bar[]; label: string }) {
  const most = Math.max(...bars.map((bar) => bar.value), 0);
  if (most <= 0) return null;
  const wide = 100 / Math.max(bars.length, 14);
  return (
    <figure className="bars">
      <figcaption>{label}</figcaption>
      <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={`${label}: ${bars.slice(-30).map((bar) => bar.text).join("; ")}`}>
        {bars.map((bar, at) => (
          <rect key={bar.key} x={at * wide + wide * 0.1} width={wide * 0.8} y={40 - (bar.value / most) * 38} height={Math.max(0.4, (bar.value / most) * 38)}>
            <title>{bar.text}</title>
          </rect>
        ))}
      </svg>
      {bars.length > 1 && <div className="bars-ends"><span>{bars[0]!.label ?? bars[0]!.key}</span><span>{bars[bars.length - 1]!.label ?? bars[bars.length - 1]!.key}</span></div>}
    </figure>
  );
}
