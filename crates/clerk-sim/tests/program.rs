//! The program prints its variables, and its controls answer at the address that it prints.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Stops the program when the test ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ask(url: &str, request: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn the_printed_addresses_answer() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clerk-sim"));
    let mut program = Program(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let output = program.0.stdout.take().expect("piped");
    let lines: Vec<_> = BufReader::new(output).lines().take(6).map_while(Result::ok).collect();
    let variable = |name: &str| {
        let start = format!("export {name}='");
        let line = lines.iter().find_map(|line| line.strip_prefix(&start));
        line.and_then(|line| line.strip_suffix('\'')).expect("a variable").to_owned()
    };
    assert!(variable("CLERK_PUBLISHABLE_KEY").starts_with("pk_"));
    let (jwks, controls) = (variable("CLERK_FRONTEND_API_URL"), variable("CLERK_SIM_URL"));
    let keys = "GET /.well-known/jwks.json";
    assert!(ask(&jwks, keys).starts_with("HTTP/1.1 200"));
    assert!(ask(&controls, "POST /sim/break?fault=500").starts_with("HTTP/1.1 200"));
    assert!(ask(&jwks, keys).starts_with("HTTP/1.1 500"));
    assert!(ask(&controls, "POST /sim/heal").starts_with("HTTP/1.1 200"));
    assert!(ask(&jwks, keys).starts_with("HTTP/1.1 200"));
}
