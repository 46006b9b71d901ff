//! What `--record` and its kin say on the command line.

use std::path::PathBuf;

use crate::recorder::RecordOptions;

/// Where and how a recording is made.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RecordArgs {
    /// Write down everything that each machine gets to see, messages too, without its secrets, into
    /// files NAME.000000.jsonl, NAME.000001.jsonl and so on in this folder. `selvedge-sim replay` takes
    /// each of them by itself.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How many bytes a file of a recording has before the next one begins [default: 67108864].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    record_segment_bytes: Option<u64>,
    /// How many files of a recording are kept, the newest [default: 16].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    record_segments: Option<u64>,
    /// Record filler of the same length in the place of what people and agents have written, so that the
    /// files can be shown to others; names, ids and paths stay.
    #[arg(long)]
    record_filler: bool,
}

impl RecordArgs {
    /// What is to be recorded, where what was configured holds for whatever is not said here.
    pub fn over(&self, configured: Option<RecordOptions>) -> Option<RecordOptions> {
        let mut options = match (&self.record, configured) {
            (None, configured) => configured?,
            (Some(dir), Some(configured)) => RecordOptions {
                dir: dir.clone(),
                ..configured
            },
            (Some(dir), None) => dir.clone().into(),
        };
        options.segment_bytes = self.record_segment_bytes.unwrap_or(options.segment_bytes);
        options.segments = self.record_segments.unwrap_or(options.segments);
        options.filler |= self.record_filler;
        Some(options)
    }
}
