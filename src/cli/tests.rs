use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_tells_of_each_flag_its_variable_and_not_its_value() {
    let mut command = Cli::command();
    let run = command.find_subcommand_mut("run").unwrap();
    let help = run.render_long_help().to_string();
    for argument in run.get_arguments().filter(|argument| argument.get_env().is_some()) {
        let flag = argument.get_long().unwrap();
        let wanted = format!("[env: {}]", crate::config::variable(flag));
        assert!(help.contains(&wanted), "{wanted} in {help}");
    }
}

#[test]
fn an_error_is_printed_with_its_sources() {
    let error = Error::Listen {
        flag: "http-address",
        address: SocketAddr::from(([127, 0, 0, 1], 80)),
        source: io::Error::other("permission denied"),
    };
    assert_eq!(
        chain(&error),
        "127.0.0.1:80 cannot be listened on; set --http-address to a free one\n  caused by: permission denied"
    );
}

#[test]
fn a_source_that_is_quoted_already_is_not_repeated() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer: {0}")]
    struct Quoting(#[source] io::Error);

    let error = Error::Runtime(io::Error::other(Quoting(io::Error::other("inner"))));
    assert_eq!(chain(&error), "the runtime cannot be started\n  caused by: outer: inner");
}

#[test]
fn crds_are_printed_as_yaml_documents() {
    let mut printed = Vec::new();
    crds::run(&mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(printed.matches("\nkind: CustomResourceDefinition\n").count(), 3);
}
