//! Headless Chromium driven over its debugging pipe: JSON messages that end with a zero byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

/// A browser with one page.
pub struct Chromium {
    child: Child,
    requests: File,
    answers: BufReader<File>,
    next: u64,
    session: Option<String>,
    /// Everything it said that was no answer.
    pub events: Vec<Value>,
}

impl Chromium {
    /// Starts `program` with its profile and pipes in `folder`.
    pub fn start(program: &str, folder: &Path) -> Chromium {
        let (to, from) = (folder.join("to"), folder.join("from"));
        mkfifo(&to, Mode::S_IRWXU).unwrap();
        mkfifo(&from, Mode::S_IRWXU).unwrap();
        // Opened both ways, so that neither side waits for the other to open.
        let open = |path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (requests, answers) = (open(&to), open(&from));
        let flags = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run \
                     --disable-background-networking --disable-component-update --disable-sync \
                     --remote-debugging-pipe";
        let line = format!("exec \"$0\" {flags} \"--user-data-dir=$3\" 3<\"$1\" 4>\"$2\"");
        let child = Command::new("sh")
            .args(["-c", &line, program])
            .args([&to, &from, &folder.join("profile")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(answers);
        let (next, events) = (0, Vec::new());
        Chromium { child, requests, answers, next, session: None, events }
    }

    /// Asks something, and waits for the answer; what else is said goes to `events`.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.requests.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let said = self.hear();
            if said["id"] == self.next {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    /// Opens a page and waits until it has loaded.
    pub fn open(&mut self, url: &str) {
        let target = self.ask("Target.createTarget", json!({"url": "about:blank"}));
        let parameters = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.ask("Target.attachToTarget", parameters);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            self.ask(&format!("{domain}.enable"), json!({}));
        }
        self.ask("Page.navigate", json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let said = self.hear();
            self.events.push(said);
        }
    }

    /// The value of an expression on the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        self.ask("Runtime.evaluate", parameters)["result"]["value"].clone()
    }

    fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        message.pop();
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
