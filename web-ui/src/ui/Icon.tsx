// Signs, drawn as lines in the colour of the text around them.

const PATHS: { [name: string]: string } = {
  check: "M3.5 8.5l3 3 6-7",
  cross: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  plus: "M8 3v10M3 8h10",
  search: "M7 3a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM10 10l3.5 3.5",
  back: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  down: "M3 6l5 5 5-5",
  up: "M8 13V3M4 7l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5l7 4.5-7 4.5z",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  inbox: "M2.5 9.5l2-6h7l2 6v3h-11zM2.5 9.5h3l1 1.5h3l1-1.5h3",
  gear: "M8 5.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4zM8 1.8v1.7M8 12.5v1.7M1.8 8h1.7M12.5 8h1.7M3.6 3.6l1.2 1.2M11.2 11.2l1.2 1.2M3.6 12.4l1.2-1.2M11.2 4.8l1.2-1.2",
  side: "M2.5 3.5h11v9h-11zM10 3.5v9",
  clip: "M11.5 6.5l-4.6 4.6a1.9 1.9 0 0 1-2.7-2.7l5-5a2.9 2.9 0 0 1 4.1 4.1l-5.2 5.2a4 4 0 0 1-5.6-5.6l4-4",
  link: "M6.5 9.5l3-3M7 5l1.6-1.6a2.8 2.8 0 0 1 4 4L11 9M9 11l-1.6 1.6a2.8 2.8 0 0 1-4-4L5 7",
  people: "M6 3.2a2.1 2.1 0 1 1 0 4.2 2.1 2.1 0 0 1 0-4.2zM2.2 12.8c0-2.4 1.6-3.7 3.8-3.7s3.8 1.3 3.8 3.7M10.3 3.6a1.9 1.9 0 0 1 0 3.6M11.2 9.4c1.6.3 2.6 1.5 2.6 3.4",
  crown: "M2.5 5l2.8 2.6L8 3.5l2.7 4.1L13.5 5l-1 7h-9z",
  branch: "M4.5 3v10M4.5 9.5c0-3 7-1.5 7-5.5M4.5 3h.01M11.5 3.5h.01",
  terminal: "M3 4.5l3.5 3.5L3 11.5M8 12h5",
  file: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
  edit: "M3 13l.6-2.6 7.2-7.2 2 2-7.2 7.2z",
  globe: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM2.5 8h11M8 2.5c3 3.4 3 7.6 0 11-3-3.4-3-7.6 0-11z",
  think: "M5.6 11.4c-1.6-.8-2.4-2-2.4-3.7A4.7 4.7 0 0 1 8 3a4.7 4.7 0 0 1 4.8 4.7c0 1.7-.8 2.9-2.4 3.7M6.3 13.5h3.4",
  tool: "M9.8 3a3 3 0 0 0-3.6 4L2.8 10.500a1.600 1.600 0 0 0 2.600 2.600L9 9.700a3 3 0 0 0 4-3.600L11 8 8.500 7.500 8 5z",
  plan: "M3 4.500l1 1 1.700-2M3 10.500l1 1 1.700-2M8 4.500h5.500M8 10.500h5.500",
  coin: "M8 2.500a5.500 5.500 0 1 1 0 11 5.500 5.500 0 0 1 0-11zM8 5v6M9.800 6.200c-.8-.8-3.400-.8-3.400.6 0 1.600 3.400.800 3.400 2.400 0 1.400-2.800 1.400-3.600.500",
  bell: "M4 11V7.500a4 4 0 0 1 8 0V11l1.200 1.200H2.800zM6.800 14h2.400",
  eye: "M1.800 8S4 3.800 8 3.800 14.200 8 14.200 8 12 12.200 8 12.200 1.800 8 1.800 8zM8 6.300a1.700 1.700 0 1 1 0 3.400 1.700 1.700 0 0 1 0-3.400z",
  trash: "M3 4.500h10M6 4.500v-2h4v2M4.500 4.500l.5 9h6l.5-9",
  clock: "M8 2.500a5.500 5.500 0 1 1 0 11 5.500 5.500 0 0 1 0-11zM8 5v3.200l2.200 1.300",
  warn: "M8 2.500l6 10.500H2zM8 6.500v3M8 11.300h.01",
};

export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

/** The state of a session: a shape of its own each, so that colour alone says nothing. */
export function StateDot({ group, pulse = false }: { group: string; pulse?: boolean }) {
  const shape: { [group: string]: string } = {
    needs: "M8 1.500l6.500 12h-13z",
    working: "M8 2a6 6 0 1 1-6 6",
    idle: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
    paused: "M5.500 3.500v9M10.500 3.500v9",
    finished: "M3 8.500l3.300 3.300L13 4.500",
    failed: "M4 4l8 8M12 4l-8 8",
  };
  return (
    <svg className={`dot ${group}${pulse ? " pulse" : ""}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" focusable="false">
      <path d={shape[group] ?? ""} />
    </svg>
  );
}
