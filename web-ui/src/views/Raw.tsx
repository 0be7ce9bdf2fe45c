// The records behind a row, as the daemon has them.

import { useEffect, useState } from "react";
import { hub } from "../app";
import type { WireRecord } from "../protocol";
import { words } from "../state/hub";
import { CopyButton } from "../ui/CopyButton";
import { visible } from "../ui/text";

const MOST = 50;

export default function Raw({ session, from, to }: { session: string; from: number; to: number }) {
  const [records, setRecords] = useState<WireRecord[] | string>("…");
  useEffect(() => {
    let wanted = true;
    hub.socket.request("read_records", { session_id: session, after: from - 1, limit: MOST }, true).then(
      (answer) => wanted && setRecords(answer.records.filter((record) => record.seq <= to)),
      (error: unknown) => wanted && setRecords(words(error)),
    );
    return () => {
      wanted = false;
    };
  }, [session, from, to]);
  if (typeof records === "string") return <pre className="plain raw">{records}</pre>;
  const text = records.map((record) => JSON.stringify(record)).join("\n");
  return (
    <div className="code raw">
      <div className="code-bar">
        <span>record {from}{to > from ? ` to ${to}` : ""}{to - from >= MOST ? `, the first ${MOST}` : ""}</span>
        <CopyButton text={text} label="Copy records" />
      </div>
      <pre tabIndex={0}>{visible(records.map((record) => JSON.stringify(record, null, 2)).join("\n").slice(0, 200_000))}</pre>
    </div>
  );
}
