//! What the README tells to try, as it stands there: the configuration in `config/`, and an agent's first call typed into
//! `jackfield agent`.

use std::{path::Path, process::Stdio};

use jackfield_tests::{
    artifacts,
    host::{Setup, Tenant},
    patience,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdout, Command},
};

fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The lines that the README lets an agent type.
fn first_call() -> Vec<String> {
    let readme = shipped("README.md");
    let (_, chapter) = readme.split_once("### An agent's first call").unwrap();
    let (_, block) = chapter.split_once("```text\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.lines().map(str::to_owned).collect()
}

/// What is printed until a line with all these words, which is the last one.
async fn printed(lines: &mut Lines<BufReader<ChildStdout>>, words: &[&str]) -> Vec<String> {
    let mut seen = Vec::new();
    let wait = async {
        loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the output ends without {words:?}: {seen:#?}"));
            assert!(!line.contains(" FAIL ") && !line.starts_with('!'), "{line} after {seen:#?}");
            seen.push(line);
            if words.iter().all(|word| seen[seen.len() - 1].contains(word)) {
                return;
            }
        }
    };
    patience(&format!("{words:?} is printed"), wait).await;
    seen
}

#[tokio::test]
async fn the_readmes_first_call_works_with_the_configuration_that_is_shipped() {
    let tenant = |name: &str| Tenant::new(name, "simulator").written(&shipped(&format!("config/tenants/{name}.toml")));
    let host = Setup::new()
        .written(&shipped("config/jackfield.toml"))
        .tenant(tenant("demo"))
        .tenant(tenant("harbour"))
        .start()
        .await;
    host.worker("demo").await;
    let mut agent = Command::new(artifacts::jackfield())
        .args(["agent", "--agent", "1001", "--password", "any"])
        .arg(format!("http://{}/v1/tenants/demo", host.address))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut keyboard = agent.stdin.take().unwrap();
    let mut screen = BufReader::new(agent.stdout.take().unwrap()).lines();
    printed(&mut screen, &["session.initialized"]).await;
    // What each line must bring.
    let brings = [
        ("addchannel", "channel.initialized"),
        ("activate", "state.updated {\"availability\":\"NOTREADY\""),
        ("ready", "state.updated {\"availability\":\"READY\""),
        ("inbound", "interaction.initialized"),
        ("answer", "\"state\":\"TALKING\""),
        ("hold", "\"state\":\"HELD\""),
        ("retrieve", "\"state\":\"TALKING\""),
        ("consult ", "\"role\":\"consult\""),
        ("transfer", "interaction.ended {\"reason\":\"transferred\"}"),
        ("complete", "interaction.disposed"),
        ("logout", "   ok  session.request.logout"),
    ];
    let lines = first_call();
    assert_eq!(lines.len(), brings.len(), "{lines:#?}");
    for (line, (verb, event)) in lines.iter().zip(brings) {
        assert!(line.contains(verb), "{line} is to {verb}");
        keyboard.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let last = match verb {
            // The moment that the consulted party takes to answer.
            "consult " => vec!["\"state\":\"TALKING\""],
            _ => vec!["   ok  ", verb],
        };
        let seen = printed(&mut screen, &last).await;
        assert!(seen.iter().any(|line| line.contains(event)), "{line} brings {event}: {seen:#?}");
    }
    let status = patience("the agent has ended", agent.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
