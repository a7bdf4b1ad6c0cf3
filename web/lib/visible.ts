/** Text of somebody else's, as it is safe to look at on a page and in a terminal. */

/** Control characters, and those that turn, part or hide the text around them. */
const TREACHEROUS = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const NAMED: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line of text with such characters as escapes, which are those of JSON: JSON still says the same. */
export function visible(text: string): string {
  return text.replace(TREACHEROUS, (char) => NAMED[char] ?? char.split('').map(escaped).join(''));
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
