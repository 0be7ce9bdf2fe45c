// Questions of an agent that want more than one key: several at once, several answers to one, or words.
//
// Invariant: nothing is answered by itself. Every question has an answer of the person before any of them is sent, and
// all of them are sent together with the hash of what was on screen.

import { useId, useState, type FormEvent } from "react";
import type { Json, JsonObject, Permission } from "../protocol";
import { visible } from "../ui/text";

interface Question { question: string; header: string | null; many: boolean; choices: { label: string; about: string | null }[] }
export type Answers = { [question: string]: string | string[] };

/** The option that stands for answers in words, when the request is one of questions that no single option answers. */
export function answering(permission: Permission): string | null {
  const answers = permission.options.filter((option) => option.kind === "answer");
  return answers.length === 1 && questionsOf(permission.raw_input).length > 0 && answers[0]!.option_id === "allow" ? answers[0]!.option_id : null;
}

function word(value: Json | undefined): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

export function questionsOf(input: Json): Question[] {
  const list = (value: Json | undefined) => (Array.isArray(value) ? value : []).filter((one): one is JsonObject => one !== null && typeof one === "object" && !Array.isArray(one));
  if (!input || typeof input !== "object" || Array.isArray(input)) return [];
  return list(input["questions"]).flatMap((one) => {
    const question = word(one["question"]);
    if (question === null) return [];
    const choices = list(one["options"]).flatMap((option) => {
      const label = word(option["label"]);
      return label === null ? [] : [{ label, about: word(option["description"]) }];
    });
    return [{ question, header: word(one["header"]), many: one["multiSelect"] === true, choices }];
  });
}

export function Questions({ permission, busy, onAnswer }: { permission: Permission; busy: boolean; onAnswer(answers: Answers): void }) {
  const id = useId();
  const questions = questionsOf(permission.raw_input);
  const [chosen, setChosen] = useState<{ [question: string]: string[] }>({});
  const [own, setOwn] = useState<{ [question: string]: string }>({});
  const answerOf = ({ question, many }: Question): string | string[] | null => {
    const words = own[question]?.trim() ?? "";
    const all = [...(chosen[question] ?? []), ...(words ? [words] : [])];
    if (all.length === 0) return null;
    return many ? all : words || all[0]!;
  };
  const whole = questions.every((question) => answerOf(question) !== null);
  const choose = ({ question, many }: Question, label: string, on: boolean) => {
    setChosen((before) => ({ ...before, [question]: many ? [...(before[question] ?? []).filter((one) => one !== label), ...(on ? [label] : [])] : [label] }));
    if (!many) setOwn((before) => ({ ...before, [question]: "" }));
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (whole) onAnswer(Object.fromEntries(questions.map((question) => [question.question, answerOf(question)!])));
  };
  return (
    <form className="questions" onSubmit={submit}>
      {questions.map((one, at) => (
        <fieldset key={at}>
          <legend>{one.header && <span className="tag">{visible(one.header)}</span>} {visible(one.question)}{one.many && <span className="hint"> as many as you like</span>}</legend>
          {one.choices.map(({ label, about }) => (
            <label key={label} className="check">
              <input
                type={one.many ? "checkbox" : "radio"} name={`${id}-${at}`} disabled={busy} checked={(chosen[one.question] ?? []).includes(label) && (one.many || !own[one.question]?.trim())}
                onChange={(event) => choose(one, label, event.target.checked)}
              />
              <span>{visible(label)}{about && <small className="hint"> {visible(about)}</small>}</span>
            </label>
          ))}
          <input
            aria-label={`Other words for: ${one.question}`} placeholder={one.choices.length ? "something else" : "your answer"} disabled={busy} value={own[one.question] ?? ""}
            onChange={(event) => setOwn((before) => ({ ...before, [one.question]: event.target.value }))}
          />
        </fieldset>
      ))}
      <button type="submit" className="primary" disabled={busy || !whole}>{questions.length > 1 ? `Send all ${questions.length} answers` : "Send the answer"}</button>
    </form>
  );
}
