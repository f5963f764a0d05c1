//! `honeybee help`: the error catalogue, offline.

use crate::codes;
use crate::error::{CliError, Exit};
use crate::output::{self, Style};

const EXIT_CODES: &str = "\
Exit codes
  0    done
  1    tried and failed
  2    the command line is wrong
  3    a person has to decide: a wrong certificate, a refused token, an approval
  130  interrupted with Ctrl-C";

/// # Errors
/// HB0003 for a code that is not in the catalogue.
pub(crate) fn run(style: Style, code: Option<&str>) -> Result<(), CliError> {
    let Some(code) = code else {
        for entry in codes::CATALOGUE {
            output::data(&format!("{}  {}", entry.code, entry.title));
        }
        output::data(&format!(
            "\n{EXIT_CODES}\n\n`honeybee help CODE` explains one, `honeybee --help` lists the commands."
        ));
        return Ok(());
    };
    if code == "exit-codes" {
        output::data(EXIT_CODES);
        return Ok(());
    }
    let Some(entry) = codes::find(code) else {
        return Err(CliError::new("HB0003", format!("there is no code {code}")).exit(Exit::Usage));
    };
    let fix = entry.fix.replace('\n', "\n  ");
    output::data(&format!("{}  {}\n\n  {}\n\n  {fix}", style.bold(entry.code), entry.title, entry.meaning));
    Ok(())
}
