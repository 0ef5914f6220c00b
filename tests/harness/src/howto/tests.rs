use std::time::Duration;

use super::*;

fn typed(line: usize, command: &str, printed: &[&str]) -> Step {
    let printed = printed.iter().map(|line| (*line).to_owned()).collect();
    Step { line, action: Action::Type { command: command.to_owned(), printed } }
}

fn agrees(shown: &str, printed: &str, known: &mut Known) -> bool {
    let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
    compare(&shown, printed, known)
}

#[test]
fn commands_are_read_with_what_they_print_and_what_belongs_to_them() {
    let text = "\
<!-- tried with: clusters=2 project -->
# Title

```console
$ kubectl get \\
    maoc
NAME
web
$ kubectl apply -f - <<EOF
a: $B
EOF
applied
```

```sh
$ not run
<!-- stage: nor this -->
```
<!-- stage: stop operator old -->
<!-- console
$ hidden
-->
";
    let stage = Step { line: 19, action: Action::Stage("stop operator old".to_owned()) };
    let steps = vec![
        typed(5, "kubectl get \\\n    maoc", &["NAME", "web"]),
        typed(9, "kubectl apply -f - <<EOF\na: $B\nEOF", &["applied"]),
        stage,
        typed(21, "hidden", &[]),
    ];
    let needs = [("clusters", "2"), ("project", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Document::parse(text), Ok(Document { needs: needs.into(), steps }));
}

#[test]
fn what_cannot_be_tried_is_refused_with_its_line() {
    let line_of = |text: &str| Document::parse(text).unwrap_err().line;
    assert_eq!(line_of("\n```console\nkubectl\n```\n"), 3);
    assert_eq!(line_of("```console\n$ a \\\n```\n"), 2);
    assert_eq!(line_of("```console\n$ a <<'END'\nb\n```\n"), 2);
}

#[test]
fn signs_stand_for_what_no_document_can_know() {
    let known = &mut Known::new();
    assert!(agrees("NAME  AGE\nweb   …", "NAME   AGE\nweb    4s\n", known));
    assert!(agrees("first\n...\nlast …", "first\n2\n3\nlast one", known));
    assert!(agrees("...\nlast", "last", known));
    assert!(!agrees("web", "web\nmore", known));
    assert!(!agrees("web …", "wab 1", known));
    assert!(!agrees("a\nb", "a", known));
}

#[test]
fn an_id_is_the_same_throughout_a_document() {
    let (shown, other) = ("0d0c0f6e-8f5c-4a39-9f4d-0b6d4f1f6a5c", "11111111-8f5c-4a39-9f4d-0b6d4f1f6a5c");
    let (real, another) = ("6f1c7d8e-1111-4222-8333-444455556666", "7a1c7d8e-1111-4222-8333-444455556666");
    let known = &mut Known::new();
    assert!(agrees(&format!("web {shown}."), &format!("web {real}."), known));
    assert!(agrees(shown, real, known));
    assert!(!agrees(shown, another, known), "it was another before");
    assert!(!agrees(other, real, known), "two ids are not one");
    assert!(agrees(&format!("… {other} {shown}"), &format!("was {another} {real}"), known));
}

#[tokio::test]
async fn a_shell_keeps_variables_and_ends_with_the_first_failure() {
    let minute = Duration::from_secs(60);
    let mut shell = Shell::start(Path::new("."), &[("GIVEN", "given".into())]).unwrap();
    assert_eq!(shell.run("set_here=kept", minute).await.unwrap(), "");
    assert_eq!(shell.run("cat; printf %s \"$set_here $GIVEN\"", minute).await.unwrap(), "kept given");
    assert_eq!(shell.run("cat <<EOF\none\ntwo\nEOF\necho three >&2", minute).await.unwrap(), "one\ntwo\nthree\n");
    let failure = shell.run("echo before; false | true; echo after", minute).await.unwrap_err();
    assert!(matches!(&failure, Error::Command { output, .. } if output == "before\n"), "{failure:?}");
}

#[tokio::test]
async fn a_command_that_does_not_end_is_reported_with_what_it_printed() {
    let mut shell = Shell::start(Path::new("."), &[]).unwrap();
    let failure = shell.run("echo begun; sleep 60", Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&failure, Error::NotInTime { last, .. } if last == "begun\n"), "{failure:?}");
}
