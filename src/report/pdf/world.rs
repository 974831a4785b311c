//! What Typst may see: one source, the charts, the embedded fonts. No files, no packages, no clock.

use std::collections::HashMap;
use std::sync::OnceLock;
use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

/// Body face. Under the SIL Open Font License, see `templates/fonts/OFL.txt`.
pub(in crate::report) const SANS: &str = "Inter";

/// Fonts and library: the same for every document, so they are parsed once a process.
struct Assets {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
}

fn assets() -> &'static Assets {
    static ASSETS: OnceLock<Assets> = OnceLock::new();
    ASSETS.get_or_init(|| {
        let files: [&'static [u8]; 3] = [
            include_bytes!("../../../templates/fonts/Inter-Regular.subset.otf"),
            include_bytes!("../../../templates/fonts/Inter-SemiBold.subset.otf"),
            include_bytes!("../../../templates/fonts/JetBrainsMono-Regular.subset.ttf"),
        ];
        let fonts: Vec<Font> = files.into_iter().flat_map(|data| Font::iter(Bytes::new(data))).collect();
        Assets { library: LazyHash::new(Library::default()), book: LazyHash::new(FontBook::from_fonts(&fonts)), fonts }
    })
}

/// Whether every face that a text may be set in has a glyph for `c`. PDF/A forbids text without.
pub(super) fn has_glyph(c: char) -> bool {
    let covers = |font: &Font| font.info().coverage.contains(u32::from(c));
    // The two sans faces cover the same characters; the monospaced one may fall back on them.
    assets().fonts.first().is_some_and(covers)
}

/// One document and the files it includes.
pub(super) struct ReportWorld {
    main: FileId,
    source: Source,
    files: HashMap<FileId, Bytes>,
}

impl ReportWorld {
    /// A world of `source` and of named files, whose names stand in `image("…")`.
    pub(super) fn new(source: String, files: Vec<(String, String)>) -> Result<Self, String> {
        let main = file_id("report.typ")?;
        let files = files
            .into_iter()
            .map(|(name, svg)| Ok((file_id(&name)?, Bytes::from_string(svg))))
            .collect::<Result<_, String>>()?;
        Ok(Self { main, source: Source::new(main, source), files })
    }
}

fn file_id(name: &str) -> Result<FileId, String> {
    let path = VirtualPath::new(name).map_err(|error| format!("`{name}` is no file name: {error:?}"))?;
    Ok(RootedPath::new(VirtualRoot::Project, path).intern())
}

impl World for ReportWorld {
    fn library(&self) -> &LazyHash<Library> {
        &assets().library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &assets().book
    }

    fn main(&self) -> FileId {
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main { Ok(self.source.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files.get(&id).cloned().ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        assets().fonts.get(index).cloned()
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        // The report's date is the record's; today would make two renderings differ.
        None
    }
}
