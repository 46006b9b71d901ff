//! The client of `rust_socketio`, for the bench of receiving: `selvedge-rust-socketio PORT MESSAGES`.
//!
//! It says `done` and the sum of all `seq` whenever it has so many messages more, and stops when its
//! standard input ends.

use std::{error::Error, io::Read as _, sync::Mutex};

use rust_socketio::{ClientBuilder, Payload, TransportType};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let port = args.next().ok_or("no port")?;
    let messages: u64 = args.next().ok_or("no number of messages")?.parse()?;
    let counted = Mutex::new((0, 0));
    let client = ClientBuilder::new(format!("http://127.0.0.1:{port}/"))
        .namespace("/realtime")
        .transport_type(TransportType::Websocket)
        .auth(json!({ "token": "t" }))
        .on("message.created", move |payload, _| {
            let Payload::Text(arguments) = payload else {
                return;
            };
            let seq = arguments.first().and_then(|message| message.get("seq"));
            let mut counted = counted.lock().expect("a count");
            let (got, sum) = &mut *counted;
            *got += 1;
            *sum += seq.and_then(Value::as_u64).unwrap_or_default();
            if *got == messages {
                println!("done {sum}");
                *got = 0;
            }
        })
        .connect()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(client.disconnect()?)
}
