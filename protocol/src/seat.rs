//! Who somebody is: the seat that a client names, and the person behind it.
//!
//! Invariant: a person is called the same on every machine, in every terminal and in every browser, so what one of them
//! has read is read on all of them.

/// The longest name of a person, in bytes.
pub const MAX_PERSON: usize = 128;

/// The person behind a seat, the same on every machine and terminal: `ann` of `ann@box:pts/1`.
pub fn person_of(identity: &str) -> &str {
    identity.split(['@', ':']).next().unwrap_or(identity)
}

/// Whether a person can be called so.
pub fn is_person(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_PERSON
        && person_of(name) == name
        && !name.contains(char::is_control)
}

/// The name of the user that a process runs as: what the environment says, else what the system's `passwd` does, which
/// services and containers need.
pub fn user(variable: impl Fn(&str) -> Option<String>, uid: u32, passwd: &str) -> String {
    let said = ["USER", "LOGNAME"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let listed = || {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
        })
    };
    said.or_else(listed).unwrap_or_else(|| format!("uid{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_the_same_everywhere() {
        assert_eq!(person_of("ann@box:pts/1"), "ann");
        assert_eq!(person_of("ann"), "ann");
        assert!(is_person("Ann Lee") && !is_person("") && !is_person("ann@box") && !is_person("a\nb"));
    }

    #[test]
    fn a_user_is_found_without_an_environment() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user(|name| (name == "LOGNAME").then(|| "eve".to_owned()), 1000, passwd), "eve");
        assert_eq!(user(|_| Some(String::new()), 1000, passwd), "ann");
        assert_eq!(user(|_| None, 7, passwd), "uid7");
    }
}
