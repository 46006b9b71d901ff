//! `receive-peer`: one side of the bench of receiving, as a process of its own.

use clap::{Parser, Subcommand};
use selvedge_tests::{
    fabric::Fault,
    receive::{Blaster, Crowd, Reader, read},
};
use tokio::task::LocalSet;

/// A side of the bench.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// A guild that says as much as it can.
    Blast {
        /// For how many sockets.
        sockets: usize,
        /// How many channels there are.
        channels: usize,
        /// Whether the sockets enter their rooms.
        #[arg(long)]
        joins: bool,
    },
    /// Somebody who receives.
    Read {
        /// How.
        reader: Reader,
        /// From the blaster at this port.
        port: u16,
        /// How many messages there are in a turn.
        messages: u64,
    },
}

fn main() -> Result<(), Fault> {
    // A connection is read by one task, and so are all of a blaster's: one thread is what they need.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let side = async {
        match Cli::parse().side {
            Side::Blast {
                sockets,
                channels,
                joins,
            } => {
                Blaster::run(Crowd {
                    sockets,
                    channels,
                    joins,
                })
                .await
            }
            Side::Read {
                reader,
                port,
                messages,
            } => read(reader, port, messages).await,
        }
    };
    LocalSet::new().block_on(&runtime, side)
}
