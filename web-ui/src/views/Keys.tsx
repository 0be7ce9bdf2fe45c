// The keys, for those who ask.

import { Dialog } from "../ui/Dialog";

const KEYS: readonly (readonly [string, string])[] = [
  ["n", "New session"], ["/ or Ctrl K", "Search sessions"], ["j, k or Alt ↓, Alt ↑", "Next, previous session"], ["i", "Approvals of all sessions"],
  ["a, d, 1 to 9", "Allow, deny, or one of the agent's answers; with Alt also while writing"], ["c", "Write"], ["Enter", "Send; Shift Enter begins a line"],
  ["Ctrl Enter", "Interrupt the turn and send"], ["t", "Details"], ["Esc", "Leave the field, close what is open; twice: interrupt the turn"], ["?", "This"],
];

export default function Keys({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="facts keys">{KEYS.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{text}</dd></div>)}</dl>
    </Dialog>
  );
}
