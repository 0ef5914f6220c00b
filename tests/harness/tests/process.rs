//! Processes end when they are told to, and with the process that started them.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use harness::{Error, Process, Program, Workdir, eventually};
use nix::{sys::signal::kill, unistd::Pid};

const SOON: Duration = Duration::from_secs(20);

fn shell(workdir: &Workdir, script: &str) -> Program {
    Program {
        name: "a shell".to_owned(),
        path: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![],
        log: workdir.path().join("shell.log"),
        stdout: None,
    }
}

fn alive(pid: i32) -> bool {
    // A killed orphan stays as a zombie where nobody reaps orphans, as in many containers.
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    kill(Pid::from_raw(pid), None).is_ok() && !zombie
}

/// The parent process of [`children_and_directories_go_with_a_killed_parent`], not a test by itself.
#[test]
#[ignore = "run by children_and_directories_go_with_a_killed_parent"]
fn parent() {
    let workdir = Workdir::create("parent").unwrap();
    let ended = Process::start(shell(&workdir, "exit 0")).unwrap();
    let first = Process::start(shell(&workdir, "exec sleep 600")).unwrap();
    let second = Process::start(shell(&workdir, "exec sleep 600")).unwrap();
    // A child that was reaped is no longer watched, and takes none of the others with it.
    ended.kill().unwrap();
    println!("\nchildren {} {} {}", first.pid().unwrap(), second.pid().unwrap(), workdir.path().display());
    std::thread::sleep(Duration::from_secs(600));
}

#[tokio::test]
async fn children_and_directories_go_with_a_killed_parent() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "parent", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("children ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let pids: Vec<i32> = words[1..3].iter().map(|pid| pid.parse().unwrap()).collect();
    let directory = Path::new(words[3]);
    assert!(pids.iter().all(|pid| alive(*pid)) && directory.is_dir());

    parent.kill().unwrap();
    parent.wait().unwrap();

    eventually(SOON, "children and directory are gone", async || {
        let left: Vec<&i32> = pids.iter().filter(|pid| alive(**pid)).collect();
        if left.is_empty() && !directory.exists() { Ok(()) } else { Err(format!("{left:?} {}", directory.exists())) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_process_is_terminated_waited_for_and_started_again() {
    let workdir = Workdir::create("process").unwrap();
    let script = "trap 'echo terminated; exit 3' TERM; echo started; while :; do sleep 0.05; done";
    let process = Process::start(shell(&workdir, script)).unwrap();
    let logged = async |text: &str| {
        eventually(SOON, "the log is written", async || {
            let log = process.log();
            if log == text { Ok(()) } else { Err(log) }
        })
        .await
        .unwrap();
    };
    logged("started\n").await;
    assert_eq!(process.terminate(SOON).await.unwrap().code(), Some(3));
    assert!(matches!(process.check_running(), Err(Error::NotRunning { .. })));
    process.restart().unwrap();
    logged("started\nterminated\nstarted\n").await;
    process.check_running().unwrap();
    process.freeze().unwrap();
    process.kill().unwrap();
    assert_eq!(process.pid(), None);
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_reported_with_its_log() {
    let workdir = Workdir::create("process").unwrap();
    let process = Process::start(shell(&workdir, "echo why >&2; exit 7")).unwrap();
    let error = process.eventually(SOON, "it serves", async || Err::<(), _>("nothing")).await.unwrap_err();
    assert_eq!(error.to_string(), "a shell has ended: exit status: 7\nwhy");
}

#[tokio::test]
async fn waiting_in_vain_tells_what_was_seen_last() {
    let mut looks = 0;
    let within = Duration::from_millis(300);
    let error = eventually::<(), _>(within, "the moon is blue", async || {
        looks += 1;
        Err(format!("a moon of colour {looks}"))
    })
    .await
    .unwrap_err();
    assert_eq!(error.to_string(), format!("the moon is blue: not within 300ms; last seen: a moon of colour {looks}"));
}

#[tokio::test]
async fn waiting_for_something_that_hangs_ends() {
    let within = Duration::from_millis(100);
    let error = eventually::<(), String>(within, "an answer", async || std::future::pending().await).await.unwrap_err();
    assert!(matches!(error, Error::NotInTime { .. }), "{error}");
}
