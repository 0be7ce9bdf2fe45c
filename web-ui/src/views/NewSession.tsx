// A new session: which agent, where, how.

import { useEffect, useId, useMemo, useState, type FormEvent } from "react";
import { actions, hub, useApp } from "../app";
import type { OrphanPolicy, TemplateInfo } from "../protocol";
import { recall, recentDirectories, remember } from "../state/kept";
import { showSession } from "../state/route";
import { Dialog } from "../ui/Dialog";
import { visible } from "../ui/text";

export default function NewSession({ onClose }: { onClose(): void }) {
  const agents = useApp((state) => state.agents);
  const sessions = useApp((state) => state.sessions);
  const id = useId();
  const [agent, setAgent] = useState(() => recall("agent") ?? agents.find((one) => one.installed)?.id ?? "shell");
  const directories = useMemo(() => {
    const used = [...sessions.values()].filter((session) => !session.worktree).sort((a, b) => b.last_activity_ms - a.last_activity_ms).map((session) => session.cwd);
    return [...new Set([...recentDirectories(), ...used])].slice(0, 30);
  }, [sessions]);
  const [cwd, setCwd] = useState(recall("cwd") ?? directories[0] ?? "");
  const [name, setName] = useState("");
  const [prompt, setPrompt] = useState("");
  const [mode, setMode] = useState("");
  const [model, setModel] = useState("");
  const [worktree, setWorktree] = useState(false);
  const [policy, setPolicy] = useState<OrphanPolicy>("keep");
  const [budget, setBudget] = useState("");
  const [busy, setBusy] = useState(false);
  const [templates, setTemplates] = useState<TemplateInfo[]>([]);
  const [template, setTemplate] = useState<TemplateInfo | null>(null);
  const [values, setValues] = useState<{ [place: string]: string }>({});
  useEffect(() => {
    hub.socket.request("list_templates", {}, true).then((answer) => setTemplates(answer.templates), () => undefined);
  }, []);
  const said = template?.template ?? null;
  const places = placesOf(said?.prompt ?? "");
  // What a template says stands in the form, to be seen and changed before anything starts.
  const take = (name: string) => {
    const found = templates.find((one) => one.name === name) ?? null;
    setTemplate(found);
    setValues({});
    const says = found?.template;
    if (!says) return;
    setAgent(says.agent);
    if (says.cwd) setCwd(says.cwd);
    setMode(says.mode ?? "");
    setModel(says.model ?? "");
    setWorktree(typeof says.worktree === "string");
    setPolicy(says.orphan_policy ?? "keep");
  };
  const info = agents.find((one) => one.id === agent);
  // What this agent offered in its last session is the best guess at what it will offer.
  const offers = useMemo(() => [...sessions.values()].filter((session) => session.agent === agent && Object.keys(session.offers).length).sort((a, b) => b.created_at - a.created_at)[0]?.offers ?? {}, [sessions, agent]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const options = { ...(mode ? { mode } : {}), ...(model ? { model } : {}) };
    // The template's own agent is left to it: what it says of that one beside the form holds then.
    const own = said !== null && said.agent === agent;
    const filled = Object.fromEntries(places.filter((place) => place !== "prompt").map((place) => [place, values[place] ?? ""]));
    const made = await actions.create({
      ...(template ? { template: template.name, ...(Object.keys(filled).length ? { values: filled } : {}) } : {}),
      agent: own ? "" : agent, cwd: cwd.trim(), ...(name.trim() ? { name: name.trim() } : {}), ...(prompt.trim() ? { prompt: prompt.trim() } : {}),
      ...(Object.keys(options).length ? { options } : {}), ...(worktree ? { worktree: said?.worktree ?? "" } : {}), ...(policy !== "keep" || said ? { orphan_policy: policy } : {}),
      ...(budget.trim() ? { budget: Number(budget) } : {}),
    });
    setBusy(false);
    if (!made) return;
    remember("agent", agent);
    remember("cwd", cwd.trim());
    onClose();
    showSession(made.id);
  };

  return (
    <Dialog title="New session" onClose={onClose}>
      <form className="form" onSubmit={(event) => void submit(event)}>
        {templates.length > 0 && (
          <label>Template
            <select value={template?.name ?? ""} onChange={(event) => take(event.target.value)}>
              <option value="">none</option>
              {templates.map((one) => <option key={one.name} value={one.name} disabled={one.template === null}>{visible(one.name)}{one.template?.description ? `: ${visible(one.template.description)}` : one.error ? " (cannot be used)" : ""}</option>)}
            </select>
          </label>
        )}
        {said && (said.env ?? []).length > 0 && <p className="hint">It passes variables of a terminal on ({said.env!.map(visible).join(", ")}); a page has none.</p>}
        <fieldset className="agents">
          <legend>Agent</legend>
          {agents.map((one) => (
            <label key={one.id} className={one.id === agent ? "on" : undefined}>
              <input type="radio" name="agent" value={one.id} checked={one.id === agent} onChange={() => (setAgent(one.id), setMode(""), setModel(""))} />
              <span><strong>{one.name}</strong> {!one.installed ? <small>not installed</small> : one.signed_in === false ? <small>not signed in</small> : null}</span>
            </label>
          ))}
        </fieldset>
        {info && <p className="hint">{info.description}{!info.installed && info.install ? ` Install it: ${info.install}` : info.signed_in === false && info.sign_in ? ` ${info.sign_in}` : ""}</p>}
        <label>Directory
          <input required data-first className="mono" list={`${id}-dirs`} value={cwd} pattern="/.*" title="An absolute path" placeholder="/home/you/project" spellCheck={false} autoCapitalize="off" onChange={(event) => setCwd(event.target.value)} />
          <datalist id={`${id}-dirs`}>{directories.map((path) => <option key={path} value={path} />)}</datalist>
        </label>
        <div className="pair">
          <label>Name <input value={name} placeholder="optional" maxLength={64} pattern="[A-Za-z0-9_][A-Za-z0-9_.\-]*" title="Letters, digits, . _ -" onChange={(event) => setName(event.target.value)} /></label>
          <label>When nobody is attached
            <select value={policy} onChange={(event) => setPolicy(event.target.value as OrphanPolicy)}><option value="keep">goes on</option><option value="suspend">pauses</option><option value="remove">ends</option></select>
          </label>
        </div>
        <div className="pair">
          <Choice label="Mode" value={mode} onChange={setMode} offers={offers["mode"]} />
          <Choice label="Model" value={model} onChange={setModel} offers={offers["model"]} />
        </div>
        <label>Budget <input type="number" min="0" step="any" inputMode="decimal" value={budget} title="In the currency that the agent tells; 0 is without end" placeholder="what it may cost; the configuration's otherwise" onChange={(event) => setBudget(event.target.value)} /></label>
        <label className="check"><input type="checkbox" checked={worktree} onChange={(event) => setWorktree(event.target.checked)} /> A git branch and worktree of its own</label>
        {said?.prompt && <pre className="plain">{visible(said.prompt)}</pre>}
        {places.filter((place) => place !== "prompt").map((place) => (
          <label key={place}>{place} <input required value={values[place] ?? ""} onChange={(event) => setValues({ ...values, [place]: event.target.value })} /></label>
        ))}
        <label>{places.includes("prompt") ? "prompt, in its place" : said?.prompt ? "Another first prompt" : "First prompt"} <textarea required={places.includes("prompt")} rows={3} value={prompt} placeholder="optional" onChange={(event) => setPrompt(event.target.value)} /></label>
        <footer>
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" className="primary" disabled={busy || !cwd.trim()}>{busy ? "Starting…" : "Start"}</button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The places in a template's words, once each. */
export function placesOf(text: string): string[] {
  return [...new Set([...text.matchAll(/\{([a-z][a-z0-9_]*)\}/g)].map((match) => match[1]!))];
}

function Choice({ label, value, onChange, offers }: { label: string; value: string; onChange(value: string): void; offers: { id: string; name: string }[] | undefined }) {
  if (!offers?.length) return <label>{label} <input value={value} placeholder="the agent's own" onChange={(event) => onChange(event.target.value)} /></label>;
  return (
    <label>{label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">the agent's own</option>
        {offers.map((offer) => <option key={offer.id} value={offer.id}>{offer.name}</option>)}
      </select>
    </label>
  );
}
