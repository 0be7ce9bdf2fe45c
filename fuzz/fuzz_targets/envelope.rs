//! A client's line: a request or a refusal that can be sent back. A request says the same when it is written and read
//! again, and a refusal gives the request id back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vibes_protocol::wire::{Message, read_request};

fuzz_target!(|line: &[u8]| match read_request(line) {
    Ok(asked) => {
        let again = serde_json::to_vec(&asked).expect("a request can be written");
        let read = read_request(&again).unwrap_or_else(|refusal| {
            panic!("{} is refused: {refusal:?}", String::from_utf8_lossy(&again));
        });
        assert_eq!(asked, read, "written and read again, it is another request");
    }
    Err(refusal) => {
        assert!(!refusal.error.message.is_empty());
        // What goes back is one line that a client can read.
        let text = serde_json::to_string(&refusal.error).expect("an error can be written");
        assert!(!text.contains('\n'));
        // A message of the daemon read as one must not be taken for a request, nor harm its reader.
        let _ = serde_json::from_slice::<Message>(line);
    }
});
