//! Everything, for programs of your own; stable within its `schema`.

use super::{Format, Outcome, pretty};

pub(super) const FORMAT: Format =
    Format { id: "json", file: "gate.json", summary: "everything that was compared, stable", render };

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    pretty(outcome)
}
