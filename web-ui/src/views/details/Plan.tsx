// The plan of the agent as a path: what is done, where it stands, what follows.

import { useApp } from "../../app";
import type { PlanEntry, SessionInfo } from "../../protocol";
import { visible } from "../../ui/text";

const NOTHING: readonly PlanEntry[] = [];
const STEP = 64;

export function PlanGraph({ session }: { session: SessionInfo }) {
  const plan = useApp((state) => state.windows.get(session.id)?.transcript.plan ?? NOTHING);
  if (plan.length === 0) return <p className="hint pad">The agent has no plan, or this agent tells none.</p>;
  const done = plan.filter((entry) => entry.status === "completed").length;
  return (
    <div className="plan-graph">
      <div className="progress" role="img" aria-label={`${done} of ${plan.length} done`}><progress max={plan.length} value={done} /> <span>{done} of {plan.length}</span></div>
      <ol>
        {plan.map((entry, at) => (
          <li key={at} className={`${entry.status ?? "pending"} ${entry.priority ?? ""}`}>
            <svg viewBox={`0 0 28 ${STEP}`} width="28" height={STEP} aria-hidden="true">
              {at > 0 && <path className="edge" d={`M14 0v${STEP / 2 - 8}`} />}
              {at < plan.length - 1 && <path className="edge" d={`M14 ${STEP / 2 + 8}v${STEP / 2 - 8}`} />}
              <circle cx="14" cy={STEP / 2} r="8" />
              {entry.status === "completed" && <path className="tick" d={`M10.500 ${STEP / 2}l2.500 2.500 5-5`} />}
            </svg>
            <div>
              <span>{visible(entry.content)}</span>
              <small>{(entry.status ?? "pending").replace("_", " ")}{entry.priority ? ` · ${entry.priority}` : ""}</small>
            </div>
          </li>
        ))}
      </ol>
    </div>
  );
}
