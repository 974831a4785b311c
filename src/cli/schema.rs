//! `wattproof schema`: JSON Schema of the file formats, for editors.

use super::{Exit, Failure, print_json};
use crate::gate;
use crate::policy;
use crate::suite::{self, Catalog};
use clap::ValueEnum;

/// Print the JSON Schema of a file format
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  wattproof schema suite > suite.schema.json")]
pub(super) struct Args {
    /// The format
    #[arg(value_enum)]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Suite files
    Suite,
    /// Policies of certification
    Policy,
    /// Reference tables
    Table,
    /// Gate files
    Gate,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match args.what {
        What::Suite => print_json(&suite::schema(&Catalog::builtin()))?,
        What::Policy => print_json(&policy::policy_schema())?,
        What::Table => print_json(&policy::table_schema())?,
        What::Gate => print_json(&gate::rules_schema())?,
    }
    Ok(Exit::Ok)
}
