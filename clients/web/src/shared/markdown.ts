/**
 * Markdown with LaTeX between `$` or `$$`, as HTML.
 *
 * Safe by construction: HTML in the source stays text, links are of harmless schemes only,
 * and KaTeX is told to trust nothing.
 */

import { renderToString } from 'katex';
import MarkdownIt, { type Env, type StateBlock, type StateInline } from 'markdown-it';
import { isolateTables, renderTable } from './tabular';

interface Rendering extends Env {
  /** Renders a gap of the text; without it gaps stay underscores. */
  gap?: (index: number) => string;
  gaps?: number;
}

const markdown = new MarkdownIt({ html: false, linkify: false });

const DOLLAR = 0x24;
const UNDERSCORE = 0x5f;

/** Reads a formula as Pandoc does: no blank after the opening `$` or before the closing one,
 * and no digit after it, so that "from $5 to $9" stays text. */
function math(state: StateInline, silent: boolean): boolean {
  const { src, pos } = state;
  if (src.charCodeAt(pos) !== DOLLAR) return false;
  const display = src.charCodeAt(pos + 1) === DOLLAR;
  const start = pos + (display ? 2 : 1);
  const end = display ? src.indexOf('$$', start) : closingDollar(src, start);
  if (end <= start || end >= state.posMax) return false;
  if (!silent) {
    const token = state.push('math', 'math', 0);
    token.content = src.slice(start, end).trim();
    token.meta = { display };
  }
  state.pos = end + (display ? 2 : 1);
  return true;
}

function closingDollar(src: string, start: number): number {
  if (/\s/.test(src[start] ?? ' ')) return -1;
  for (let at = start; at < src.length; at += 1) {
    if (src[at] === '\\') at += 1;
    else if (src[at] === '$') {
      const closes = !/\s/.test(src[at - 1] ?? ' ') && !/\d/.test(src[at + 1] ?? ' ');
      return closes ? at : -1;
    }
  }
  return -1;
}

/** Reads a gap to fill in: three underscores or more. */
function gap(state: StateInline, silent: boolean): boolean {
  const rendering = state.env as Rendering;
  if (!rendering.gap || state.src.charCodeAt(state.pos) !== UNDERSCORE) return false;
  const length = /^_+/.exec(state.src.slice(state.pos))?.[0].length ?? 0;
  if (length < 3) return false;
  if (!silent) state.push('gap', 'span', 0);
  state.pos += length;
  return true;
}

/** Reads a table of LaTeX; `isolateTables` has put each on a line of its own. */
function table(state: StateBlock, line: number, _end: number, silent: boolean): boolean {
  const start = (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
  const source = state.src.slice(start, state.eMarks[line]);
  const html = renderTable(source, (cell) => markdown.renderInline(cell, {}));
  if (html === null) return false;
  if (!silent) {
    state.push('latex_table', 'table', 0).content = html;
    state.line = line + 1;
  }
  return true;
}

markdown.block.ruler.before('paragraph', 'latex_table', table, { alt: ['paragraph'] });
markdown.inline.ruler.before('escape', 'math', math);
markdown.inline.ruler.before('emphasis', 'gap', gap);

markdown.renderer.rules['math'] = (tokens, index) => {
  const token = tokens[index];
  const meta = token?.meta as { display: boolean } | undefined;
  return renderToString(token?.content ?? '', {
    displayMode: meta?.display ?? false,
    throwOnError: false,
    strict: 'ignore',
    trust: false,
    maxSize: 50,
    maxExpand: 1000,
  });
};

markdown.renderer.rules['latex_table'] = (tokens, index) => tokens[index]?.content ?? '';

markdown.renderer.rules['gap'] = (_tokens, _index, _options, env) => {
  const rendering = env as Rendering;
  const index = rendering.gaps ?? 0;
  rendering.gaps = index + 1;
  return rendering.gap?.(index) ?? '';
};

markdown.renderer.rules['link_open'] = (tokens, index, options, _env, self) => {
  // Following a link must not leave the exam.
  tokens[index]?.attrSet('target', '_blank');
  tokens[index]?.attrSet('rel', 'noopener noreferrer');
  return self.renderToken(tokens, index, options);
};

const CACHE_MAX = 500;
const blocks = new Map<string, string>();
const lines = new Map<string, string>();

function cached(cache: Map<string, string>, text: string, render: () => string): string {
  const known = cache.get(text);
  if (known !== undefined) return known;
  if (cache.size >= CACHE_MAX) cache.clear();
  const html = render();
  cache.set(text, html);
  return html;
}

/** Renders paragraphs, lists and tables. */
export function renderBlocks(text: string): string {
  return cached(blocks, text, () => markdown.render(isolateTables(text), {}));
}

/** Renders a line, such as an option. */
export function renderLine(text: string): string {
  return cached(lines, text, () => markdown.renderInline(text, {}));
}

/** Renders as {@link renderBlocks} does, with HTML in the place of each gap; null where the text
 * has another number of gaps. */
export function renderGaps(
  text: string,
  count: number,
  gapHtml: (index: number) => string,
): string | null {
  const rendering: Rendering = { gap: gapHtml };
  const html = markdown.render(isolateTables(text), rendering);
  return rendering.gaps === count ? html : null;
}

/** Returns whether a text looks the same without rendering, so that it may stand in a place
 * without markup, as in the options of a `select`. */
export function isPlain(text: string): boolean {
  return renderLine(text) === markdown.utils.escapeHtml(text);
}
