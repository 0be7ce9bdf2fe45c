//! What the agent asks, and what it is answered: leave to use a tool, its questions, its plans.
//!
//! Invariant: an answer allows exactly the input that was asked about, or the one a person put in its place. The
//! agent's own standing permissions are offered one by one, each under its true name, and given only when chosen.

use super::{Claude, clip, tools};
use crate::agent::{
    AgentEvent, Outgoing, Question, Verdict,
    acp::MAX_QUESTION,
    rpc::{METHOD_NOT_FOUND, Refusal, RpcId},
};
use serde_json::{Map, Value, json};
use vibes_protocol::model::PermissionOption;

const ALLOW: &str = "allow";
const DENY: &str = "deny";
/// Options that stand for a suggestion of the agent: this and its number.
const ALWAYS: &str = "always-";
/// Options that stand for an answer to its one question.
const ANSWER: &str = "answer-";

const QUESTIONS: &str = "AskUserQuestion";
const PLAN: &str = "ExitPlanMode";

fn option(option_id: impl Into<String>, kind: &str, name: impl Into<String>) -> PermissionOption {
    PermissionOption { option_id: option_id.into(), kind: kind.to_owned(), name: name.into() }
}

/// A standing permission that the agent suggests, in words.
fn suggestion(suggestion: &Value) -> Option<String> {
    let to = match suggestion["destination"].as_str()? {
        "session" => "in this conversation",
        "localSettings" => "in this directory, for good",
        "projectSettings" => "in this project, for everybody",
        "userSettings" => "everywhere, for good",
        other => other,
    };
    let list = |values: &Value, name: &dyn Fn(&Value) -> Option<String>| {
        let names: Option<Vec<String>> = values.as_array()?.iter().map(name).collect();
        names.map(|names| names.join(", "))
    };
    Some(match suggestion["type"].as_str()? {
        "addRules" => {
            let rules = list(&suggestion["rules"], &|rule| {
                let tool = rule["toolName"].as_str()?;
                Some(match rule["ruleContent"].as_str() {
                    Some(content) => format!("{tool}({content})"),
                    None => tool.to_owned(),
                })
            })?;
            match suggestion["behavior"].as_str()? {
                "allow" => format!("Always allow {rules} {to}"),
                other => format!("Always {other} {rules} {to}"),
            }
        }
        "addDirectories" => {
            let directories = list(&suggestion["directories"], &|dir| dir.as_str().map(str::to_owned))?;
            format!("Allow and count {directories} among the working directories {to}")
        }
        "setMode" => format!("Allow and switch to the mode {} {to}", suggestion["mode"].as_str()?),
        _ => return None,
    })
}

/// The one question that can be answered by choosing: one, with one answer.
fn choices(input: &Value) -> Option<(&str, Vec<&str>)> {
    let [question] = input["questions"].as_array()?.as_slice() else { return None };
    if question["multiSelect"] == true {
        return None;
    }
    let labels: Option<Vec<&str>> =
        question["options"].as_array()?.iter().map(|option| option["label"].as_str()).collect();
    Some((question["question"].as_str()?, labels?))
}

impl Claude {
    /// What a control request leads to.
    pub(super) fn asks<'a>(&self, line: &Value) -> AgentEvent<'a> {
        let id = RpcId::text(line["request_id"].as_str().unwrap_or_default());
        let request = &line["request"];
        let subtype = request["subtype"].as_str().unwrap_or_default();
        if subtype != "can_use_tool" {
            let method = clip(subtype, 80).to_owned();
            let message = format!("not served: {method}");
            return AgentEvent::Refused { method, refusal: Refusal { id, code: METHOD_NOT_FOUND, message } };
        }
        let raw = request.to_string();
        if raw.len() > MAX_QUESTION {
            let why = format!("a permission request of {} bytes; {MAX_QUESTION} are the most", raw.len());
            let refusal = Refusal { id, code: METHOD_NOT_FOUND, message: why.clone() };
            return AgentEvent::Unparsed { why, refusal: Some(refusal) };
        }
        AgentEvent::Permission(Box::new(self.question(id, raw, request)))
    }

    fn question(&self, rpc_id: RpcId, raw: String, request: &Value) -> Question {
        let (tool, input) = (request["tool_name"].as_str().unwrap_or("tool"), &request["input"]);
        let suggestions = request["permission_suggestions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut suggestions: Vec<(String, Value)> =
            suggestions.iter().filter_map(|it| Some((suggestion(it)?, it.clone()))).collect();
        let mut shown = input.clone();
        let mut options = Vec::new();
        match tool {
            QUESTIONS => {
                match choices(input) {
                    Some((_, labels)) => options.extend(
                        labels
                            .iter()
                            .enumerate()
                            .map(|(n, label)| option(format!("{ANSWER}{n}"), "answer", *label)),
                    ),
                    None => options.push(option(ALLOW, "answer", "Answer")),
                }
                options.push(option(DENY, "reject_once", "Do not answer"));
            }
            PLAN => {
                // The plan itself was in the call of the tool; some versions leave it out here.
                if let (Some(plan), Some(shown)) = (&self.plan, shown.as_object_mut()) {
                    shown.entry("plan").or_insert_with(|| plan.as_str().into());
                }
                if suggestions.is_empty() {
                    let edits = json!({"type": "setMode", "mode": "acceptEdits", "destination": "session"});
                    suggestions.push(("Carry it out, and edit files without asking".to_owned(), edits));
                }
                options.push(option(ALLOW, "allow_once", "Carry it out, and ask before edits"));
            }
            _ => options.push(option(ALLOW, "allow_once", "Allow")),
        }
        if tool != QUESTIONS {
            let always = suggestions.iter().enumerate();
            options.extend(always.map(|(n, (name, _))| option(format!("{ALWAYS}{n}"), "allow_always", name)));
            let deny = if tool == PLAN { "Keep planning" } else { "Deny" };
            options.push(option(DENY, "reject_once", deny));
        }
        let suggestions: Vec<Value> = suggestions.into_iter().map(|(_, suggestion)| suggestion).collect();
        Question {
            rpc_id,
            raw,
            tool: tool.to_owned(),
            diff: tools::change(tool, input),
            options,
            title: Some(tools::title(tool, input)),
            tool_call_id: request["tool_use_id"].as_str().map(str::to_owned),
            memo: json!({"input": if shown == *input { &Value::Null } else { input }, "suggestions": suggestions}),
            raw_input: shown,
        }
    }

    /// Whether an answer makes sense of the question.
    pub fn may_answer(verdict: &Verdict<'_>) -> Result<(), String> {
        let (option, tool) = (&verdict.option.option_id, verdict.permission.tool.as_str());
        if verdict.updated_input.is_some_and(|input| !input.is_object()) {
            return Err("updated_input: the input of a tool is an object".to_owned());
        }
        if option == DENY && (verdict.updated_input.is_some() || verdict.answers.is_some()) {
            return Err("updated_input, answers: they go with an answer that allows".to_owned());
        }
        if verdict.answers.is_some() && tool != QUESTIONS {
            return Err("answers: the agent asks for leave, and has no question".to_owned());
        }
        if tool == QUESTIONS && option == ALLOW {
            let names = || {
                let questions = verdict.permission.raw_input["questions"].as_array().into_iter().flatten();
                let names: Vec<String> = questions.map(|question| question["question"].to_string()).collect();
                names.join(", ")
            };
            let answers = verdict.answers.and_then(Value::as_object);
            let asked = verdict.permission.raw_input["questions"].as_array().into_iter().flatten();
            let all = answers.is_some_and(|answers| {
                asked
                    .clone()
                    .all(|question| question["question"].as_str().is_some_and(|it| answers.contains_key(it)))
            });
            if !all {
                return Err(format!("answers: an object with an answer to each of: {}", names()));
            }
        }
        Ok(())
    }

    /// Answers the agent's question, or tells it that the turn is over.
    pub fn answer(rpc_id: &RpcId, verdict: Option<&Verdict<'_>>, out: &mut Outgoing) {
        let response = match verdict {
            Some(verdict) if verdict.option.option_id != DENY => allowed(verdict),
            Some(verdict) => {
                let message = verdict.message.filter(|message| !message.trim().is_empty());
                json!({"behavior": "deny", "message": message.unwrap_or("The user said no.")})
            }
            None => json!({"behavior": "deny", "message": "The user interrupted.", "interrupt": true}),
        };
        let response = json!({"subtype": "success", "request_id": rpc_id.as_text(), "response": response});
        out.push(|_| json!({"type": "control_response", "response": response}));
    }

    /// Refuses a request of the agent.
    pub fn refuse(refusal: &Refusal, out: &mut Outgoing) {
        let response =
            json!({"subtype": "error", "request_id": refusal.id.as_text(), "error": refusal.message});
        out.push(|_| json!({"type": "control_response", "response": response}));
    }
}

fn allowed(verdict: &Verdict<'_>) -> Value {
    let asked = match &verdict.memo["input"] {
        Value::Null => &verdict.permission.raw_input,
        input => input,
    };
    let mut input = verdict.updated_input.unwrap_or(asked).clone();
    let option = verdict.option.option_id.as_str();
    let mut answers = verdict.answers.and_then(Value::as_object).cloned().unwrap_or_default();
    if let (Some(n), Some((question, labels))) = (number(option, ANSWER), choices(asked))
        && let Some(label) = labels.get(n)
    {
        answers.entry(question).or_insert_with(|| (*label).into());
    }
    if !answers.is_empty() {
        // Several answers to one question are told as the agent's own screen does.
        let joined = |answer: Value| match answer.as_array() {
            Some(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ").into(),
            None => answer,
        };
        let answers: Map<String, Value> =
            answers.into_iter().map(|(q, answer)| (q, joined(answer))).collect();
        input["answers"] = answers.into();
    }
    let mut allowed = json!({"behavior": "allow", "updatedInput": input});
    if let Some(n) = number(option, ALWAYS) {
        allowed["updatedPermissions"] = json!([verdict.memo["suggestions"][n]]);
    }
    allowed
}

fn number(option: &str, prefix: &str) -> Option<usize> {
    option.strip_prefix(prefix)?.parse().ok()
}
