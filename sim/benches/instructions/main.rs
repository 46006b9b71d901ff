//! How many instructions the hot paths of the machines take, counted by callgrind and compared with
//! `counts.txt`.
//!
//! This process runs each path in a process of its own under valgrind, which counts what happens
//! below [`counted`] and nothing else. A count that has moved by more than a few per cent fails, in
//! either direction; `--write` writes the counts down.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its table, and fails where it cannot run"
)]

mod agent;
mod codec;
mod guild;
mod link;
mod simulator;

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    path::Path,
    process::{Command, ExitCode},
};

/// How far a count may be from the one that is written down, as a part of it.
const TOLERANCE: f64 = 0.03;

const COUNTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/instructions/counts.txt"
);

/// Writes all counts down.
const WRITE: &str = "cargo bench --profile counts -p selvedge-sim --bench instructions -- --write";

/// What a line of the file begins with that holds no count.
const COMMENT: &str = "# ";

/// Which of its variants the C library takes of `memcpy` and its like: those that every x86-64 has. On a
/// machine that has no AVX2, a message that wakes would take 6 % more instructions otherwise.
const TUNABLES: &str = "glibc.cpu.hwcaps=\
     -AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-BMI2,-SSE4_2,-SSE4_1,-SSSE3";

/// Goes a path through [`counted`], and says how often.
type Run = fn() -> u64;

const PATHS: [(&str, Run); 17] = [
    ("decode a frame to an event", codec::decode),
    ("decode a frame to a message", codec::decode_message),
    ("encode an event", codec::encode),
    ("link: a frame", link::frame),
    ("agent: a message that wakes", agent::wakes),
    ("agent: it is kept and handed over", agent::handed_over),
    ("agent: its turn is done", agent::turn_done),
    ("agent: it is answered", agent::answered),
    ("agent: a message that does not wake", agent::does_not_wake),
    ("agent: a message of its own", agent::own),
    ("agent: a message twice", agent::twice),
    ("agent: an idle tick", agent::idle_tick),
    ("guild: a post to 10, general", guild::general_to_10),
    ("guild: a post to 100, general", guild::general_to_100),
    ("guild: a post to 100, discuss", guild::discuss_to_100),
    ("simulator: a step, ordinary", simulator::ordinary),
    ("simulator: a step, all faults", simulator::all_faults),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["run", name] => {
            let (_, run) = PATHS.iter().find(|(of, _)| of == name).expect("a path");
            println!("{}", run());
            ExitCode::SUCCESS
        }
        // Cargo adds an option of its own.
        args if args.contains(&"--write") => write(),
        _ => compare(),
    }
}

/// What is counted is what happens in here.
#[inline(never)]
fn counted(act: &mut dyn FnMut()) {
    act();
    // Otherwise this function would be left before `act` runs.
    black_box(());
}

/// Counts all paths: the instructions of going each once.
fn count_all() -> impl Iterator<Item = (&'static str, u64)> {
    PATHS.iter().map(|(name, _)| (*name, count(name)))
}

fn count(name: &str) -> u64 {
    let program = env::current_exe().expect("this program");
    let folder = program.parent().expect("its folder");
    let program = Path::new(".").join(program.file_name().expect("its name"));
    let counted = concat!("*", module_path!(), "::counted*");
    let run = Command::new("valgrind")
        // Where the program is and what stands in the environment moves the stack.
        .current_dir(folder)
        .env_clear()
        .env("GLIBC_TUNABLES", TUNABLES)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={counted}"))
        .arg(program)
        .args(["run", name])
        .output()
        .expect("valgrind, which must be installed in /usr/bin");
    let report = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}: {report}");
    let collected = report.lines().find_map(|line| {
        let (_, number) = line.split_once("Collected :")?;
        number.trim().parse::<u64>().ok()
    });
    let times = String::from_utf8_lossy(&run.stdout);
    let times: u64 = times.trim().parse().expect("how often the path was gone");
    let collected = collected.filter(|collected| *collected >= times);
    collected.expect("a count") / times
}

/// What counts here, and whose `memcpy` and `malloc` are counted: another C library may take other
/// numbers of instructions for them.
fn tools() -> String {
    let said = |program: &str| {
        let said = Command::new(program).arg("--version").output();
        let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        let said = said.unwrap_or_default();
        said.lines().next().unwrap_or_default().to_owned()
    };
    ["valgrind", "ldd", "rustc"].map(said).join(", ")
}

fn write() -> ExitCode {
    let mut text = format!("{COMMENT}{}\n", tools());
    for (name, count) in count_all() {
        println!("{count:>9} {name}");
        text.push_str(&format!("{count} {name}\n"));
    }
    fs::write(COUNTS, text).expect("a file that can be written");
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let text = fs::read_to_string(COUNTS).unwrap_or_default();
    let (comments, counts): (Vec<_>, Vec<_>) =
        text.lines().partition(|line| line.starts_with(COMMENT));
    let counts = counts.into_iter().map(|line| {
        let (count, name) = line.split_once(' ').expect("a count and a name");
        (name, count.parse::<u64>().expect("a count"))
    });
    let mut written: BTreeMap<_, _> = counts.collect();
    let mut moved = 0;
    println!("| instructions | now | written down | |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, now) in count_all() {
        let before = written.remove(name).unwrap_or_default();
        let change = now as f64 / before as f64 - 1.0;
        let is_same = change.abs() <= TOLERANCE;
        moved += usize::from(!is_same);
        let mark = if is_same { "" } else { " **moved**" };
        println!(
            "| {name} | {now} | {before} | {:+.2} %{mark} |",
            change * 100.0
        );
    }
    for (name, before) in &written {
        println!("| {name} | | {before} | **gone** |");
        moved += 1;
    }
    if moved == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{moved} counts are not as they are written down, by more than {} %. If that is meant: {WRITE}\n\
         counted then: {}\ncounted now: {COMMENT}{}",
        TOLERANCE * 100.0,
        comments.join(" "),
        tools()
    );
    ExitCode::FAILURE
}
