/** Tables of LaTeX (`tabular`), as question banks that were made for print hold them. */

const TABLE = new RegExp(
  [
    /(?:\\begin\{center\}[\s.]*)?/,
    /\\begin\{tabular\}\s*\{([^}]*)\}([^]*?)\\end\{tabular\}/,
    /(?:[\s.]*\\end\{center\}\.?)?/,
  ]
    .map(({ source }) => source)
    .join(''),
  'g',
);

/** Rules between rows, and the rest of a line end before a word. */
const RULES = /^(?:\s|\\hline|\\cline\s*\{[^}]*\}|\.(?=[\s\\A-Za-z$]|$))+/;

interface Cell {
  text: string;
  columns: number;
  rows: number;
}

/** Puts every table in a paragraph of its own, so that Markdown takes it for a block. */
export function isolateTables(text: string): string {
  return text.replace(
    TABLE,
    (_, columns: string, body: string) =>
      `\n\n\\begin{tabular}{${columns}}${body.replaceAll('\n', ' ')}\\end{tabular}\n\n`,
  );
}

/** Returns the table of a line that {@link isolateTables} made, as HTML; null for other lines. */
export function renderTable(line: string, renderCell: (text: string) => string): string | null {
  const body = /^\\begin\{tabular\}\{[^}]*\}(.*)\\end\{tabular\}$/.exec(line.trim())?.[1];
  if (body === undefined) return null;
  const rows = split(body, '\\\\')
    .map((row) => row.replace(RULES, ''))
    .filter((row) => row.trim() !== '')
    .map((row) => split(row, '&').map(parseCell));

  /** Rows that a cell from above still covers, for each column. */
  const covered: number[] = [];
  const html = rows.map((row, index) => {
    const tag = index === 0 ? 'th' : 'td';
    let column = 0;
    const cells = row.map(({ text, columns, rows: height }) => {
      const hidden = (covered[column] ?? 0) > 0;
      for (let end = column + columns; column < end; column += 1) {
        covered[column] = hidden ? (covered[column] ?? 0) - 1 : height - 1;
      }
      if (hidden) return '';
      const span =
        (columns > 1 ? ` colspan="${columns}"` : '') + (height > 1 ? ` rowspan="${height}"` : '');
      return `<${tag}${span}>${renderCell(text)}</${tag}>`;
    });
    // A row may leave out its last cells where they are covered.
    for (; column < covered.length; column += 1) covered[column] = (covered[column] ?? 0) - 1;
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table>${html.join('')}</table>`;
}

function parseCell(source: string): Cell {
  const cell = { text: source.trim(), columns: 1, rows: 1 };
  for (;;) {
    const wide = /^\\multicolumn\s*\{(\d+)\}\s*\{[^}]*\}\s*\{(.*)\}$/.exec(cell.text);
    const high = /^\\multirow\s*\{(\d+)\}\s*\{[^}]*\}\s*\{(.*)\}$/.exec(cell.text);
    if (wide) Object.assign(cell, { columns: Number(wide[1]), text: wide[2]?.trim() });
    else if (high) Object.assign(cell, { rows: Number(high[1]), text: high[2]?.trim() });
    else return cell;
  }
}

/** Splits at the separators of the table itself: outside of groups and formulas. */
function split(source: string, separator: string): string[] {
  const parts = [''];
  let depth = 0;
  let formula = false;
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at] ?? '';
    const apart = depth === 0 && !formula;
    if (apart && source.startsWith(separator, at)) {
      parts.push('');
      at += separator.length - 1;
      continue;
    }
    if (char === '$') formula = !formula;
    if (char === '{') depth += 1;
    if (char === '}') depth -= 1;
    // A character after a backslash is itself, not a mark of the table.
    const taken = char === '\\' ? source.slice(at, at + 2) : char;
    parts[parts.length - 1] += taken;
    at += taken.length - 1;
  }
  return parts;
}
