//! Quotes and variables in the words of an instruction (buildkit `frontend/dockerfile/shell`).

use std::iter::Peekable;
use std::str::Chars;

use crate::changes::refuse;
use crate::error::Result;

/// Go's sentence for a substitution without an end.
const NO_BRACE: &str = "syntax error: missing '}'";

/// How deep substitutions and quotes may nest: each takes of the stack.
const MAX_DEPTH: usize = 64;

/// A word without its quotes, with the values of variables.
pub(super) fn expand(text: &str, variables: &[String]) -> Result<String> {
    let mut word = Word { left: text.chars().peekable(), variables, depth: 0 };
    word.until(None).map_err(|sentence| refuse(format!("failed to process {text:?}: {sentence}")))
}

/// What is left of a word that is being expanded. Its errors are Docker's sentences.
struct Word<'a> {
    left: Peekable<Chars<'a>>,
    variables: &'a [String],
    depth: usize,
}

impl<'a> Word<'a> {
    /// What comes before a double quote or a brace that ends it, or all of it.
    fn until(&mut self, end: Option<char>) -> Result<String, String> {
        let open = |what| Err(format!("unexpected end of statement while looking for matching {what}-quote"));
        let in_quotes = end == Some('"');
        let mut result = String::new();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("a substitution is too deep".to_owned());
        }
        while let Some(character) = self.left.next() {
            match character {
                other if end == Some(other) => {
                    self.depth -= 1;
                    return Ok(result);
                }
                '\'' if !in_quotes => loop {
                    match self.left.next() {
                        None => return open("single"),
                        Some('\'') => break,
                        Some(other) => result.push(other),
                    }
                },
                '"' => result += &self.until(Some('"'))?,
                '\\' => {
                    let next = self.left.next();
                    if in_quotes && !matches!(next, Some('"' | '$' | '\\')) {
                        result.push('\\');
                    }
                    result.extend(next);
                }
                '$' => result += &self.variable()?,
                other => result.push(other),
            }
        }
        match end {
            None => Ok(result),
            Some('"') => open("double"),
            Some(_) => Err(NO_BRACE.to_owned()),
        }
    }

    /// What stands for `$name`, `${name}`, `${name-word}`, `${name+word}` and `${name?word}`, of which the dollar is read; with
    /// a colon after the name, empty is as good as unset.
    fn variable(&mut self) -> Result<String, String> {
        let is_braced = self.left.next_if_eq(&'{').is_some();
        if is_braced && matches!(self.left.peek(), Some('{' | '}' | ':')) {
            return Err("syntax error: bad substitution".to_owned());
        }
        let name = self.name();
        let value = self.value(&name);
        if !is_braced {
            return Ok(if name.is_empty() { "$" } else { value.unwrap_or_default() }.to_owned());
        }
        let colon = if self.left.next_if_eq(&':').is_some() { ":" } else { "" };
        let modifier = self.left.next().ok_or(NO_BRACE)?;
        match modifier {
            '}' if colon.is_empty() => return Ok(value.unwrap_or_default().to_owned()),
            '-' | '+' | '?' => {}
            _ => return Err(format!("unsupported modifier ({colon}{modifier}) in substitution")),
        }
        let word = self.until(Some('}'))?;
        match (modifier, value.filter(|value| colon.is_empty() || !value.is_empty())) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value.to_owned()),
            _ if !word.is_empty() => Err(format!("{name}: {word}")),
            _ => Err(format!(
                "{name}: is not allowed to be {}",
                if value.is_some() { "empty" } else { "unset" }
            )),
        }
    }

    /// A variable's name, a number, or one of the shell's special ones, none of which is ever set.
    fn name(&mut self) -> String {
        if let Some(special) = self.left.next_if(|character| "@*#?-$!".contains(*character)) {
            return special.to_string();
        }
        let is_number = self.left.peek().is_some_and(char::is_ascii_digit);
        let belongs = |character: &char| {
            character.is_ascii_digit() || !is_number && (character.is_ascii_alphabetic() || *character == '_')
        };
        std::iter::from_fn(|| self.left.next_if(belongs)).collect()
    }

    /// The value of a variable: the last, where there are several.
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.variables.iter().rev().map(|text| text.split_once('=').unwrap_or((text, "")));
        pairs.find_map(|(known, value)| (known == name).then_some(value))
    }
}
