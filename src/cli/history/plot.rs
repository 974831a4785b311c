//! `wattproof history plot`: charts of figures over runs.

use super::{Certainty, Selection, StoreArgs};
use crate::cli::{Exit, Failure, print};
use crate::gate::{Metric, inert};
use crate::history::chart::{chart, page};
use crate::report::{plots, timeline};
use std::fs;
use std::path::PathBuf;

/// What is drawn unless --metric says otherwise.
const DRAWN: [Metric; 2] = [Metric::Energy, Metric::Time];

/// Draw figures over runs, with intervals, levels and changes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history plot -o history.html
  wattproof history plot --case gemm-f32-m1024-n1024-k1024-t2 --metric energy -o gemm.svg")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    certainty: Certainty,
    /// File to write: *.html, a page with every chart, or *.svg, a single one
    #[arg(long, short, value_name = "FILE", default_value = "history.html")]
    out: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let kind = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    if !matches!(kind.as_str(), "html" | "svg") {
        let shown = args.out.display();
        return Err(Failure::usage(format!("--out {shown}: the name of the file ends in .html or .svg")));
    }
    let mut store = args.store.to_read()?;
    let timelines = args.selection.timelines(store.as_mut(), &DRAWN)?;
    let searched = args.certainty.search(&timelines);
    let bytes = if kind == "svg" {
        let [timeline] = &timelines[..] else {
            return Err(Failure::usage(format!(
                "an SVG holds one chart, and {} fit; name one with --case, --suite and --metric, or write *.html",
                timelines.len()
            )));
        };
        let drawn = plots::timeline(&chart(timeline, &searched.iter().collect::<Vec<_>>()));
        let figure = drawn.ok_or_else(|| Failure::internal("there is nothing to draw"))?.map_err(Failure::internal)?;
        figure.to_document("sans-serif").into_bytes()
    } else {
        let title = match (&args.selection.case, &timelines[..]) {
            (Some(_), [one, ..]) if timelines.iter().all(|t| t.case == one.case) => one.case.clone(),
            (Some(pattern), _) => format!("Cases {pattern}"),
            (None, _) => "All cases".to_owned(),
        };
        timeline::page(&page(&title, store.name(), &timelines, &searched)).map_err(Failure::internal)?
    };
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", args.out.display()));
    if let Some(dir) = args.out.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    fs::write(&args.out, &bytes).map_err(failed)?;
    let text = format!("{} ({} charts, {} kB)", args.out.display(), timelines.len(), bytes.len().div_ceil(1000));
    print(&inert(&text))?;
    Ok(Exit::Ok)
}
