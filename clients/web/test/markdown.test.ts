import { describe, expect, it } from 'vitest';
import { isPlain, renderBlocks, renderGaps, renderLine } from '../src/shared/markdown';
import { isolateTables, renderTable } from '../src/shared/tabular';

describe('safety', () => {
  it.each([
    '<img src=x onerror=alert(1)>',
    '<script>alert(1)</script>',
    '$\\href{javascript:alert(1)}{x}$',
    '$\\includegraphics{x}$ $\\html@mathml{<b>}{}$',
    '\\begin{tabular}{c}<script>alert(1)</script>\\end{tabular}',
  ])('shows %s as text', (source) => {
    const html = renderBlocks(source);
    expect(html).not.toMatch(/<(script|img|a)\b/);
  });

  it('follows no script of a link', () => {
    expect(renderBlocks('[x](javascript:alert(1))')).not.toContain('<a');
    expect(renderBlocks('[x](https://example.org)')).toContain('target="_blank"');
  });
});

describe('LaTeX', () => {
  it('stands between dollars', () => {
    expect(renderLine('$x^2$')).toContain('class="katex"');
    expect(renderBlocks('$$x^2$$Then')).toContain('katex-display');
  });

  it.each(['from $5 to $9', 'costs $ 5 or $ 6', 'a lone $ sign', '\\$x\\$'])(
    'is not in "%s"',
    (text) => expect(renderLine(text)).not.toContain('katex'),
  );

  it('keeps what Markdown would take for its own', () => {
    expect(renderLine('$a_1 * b_2 * c_3$')).not.toContain('<em>');
  });

  it('shows a fault without failing', () => {
    expect(renderLine('$\\frac{1$')).toContain('katex-error');
  });
});

describe('gaps', () => {
  const gap = (index: number) => `<input data-blank="${index}" />`;

  it('become inputs, in their order', () => {
    const html = renderGaps('A ____ B ___ C', 2, gap);
    expect(html).toBe('<p>A <input data-blank="0" /> B <input data-blank="1" /> C</p>\n');
  });

  it('are given up where there are not as many as blanks', () => {
    expect(renderGaps('A ____ B', 2, gap)).toBeNull();
    expect(renderGaps('$(\\quad)$', 1, gap)).toBeNull();
  });

  it('stay underscores elsewhere', () => {
    expect(renderBlocks('A ____ B')).toContain('A ____ B');
  });
});

describe('tables of LaTeX', () => {
  const table = (text: string) =>
    renderTable(isolateTables(text).trim(), (cell) => cell)?.replaceAll(/<\/?table>/g, '');

  it('have rows and cells', () => {
    expect(
      table(
        '\\begin{center}\\begin{tabular}{|c|c|}\\hline$x$ & 1 \\\\\\hline$y$ & 2 \\\\\\hline\\end{tabular}\\end{center}',
      ),
    ).toBe('<tr><th>$x$</th><th>1</th></tr><tr><td>$y$</td><td>2</td></tr>');
  });

  it('split neither formulas nor groups', () => {
    expect(
      table('\\begin{tabular}{c}$\\begin{array}{c}a & b \\\\ c\\end{array}$ & \\&\\end{tabular}'),
    ).toBe('<tr><th>$\\begin{array}{c}a & b \\\\ c\\end{array}$</th><th>\\&</th></tr>');
  });

  it('span columns and rows', () => {
    expect(
      table(
        '\\begin{tabular}{c}\\multicolumn{2}{c|}{Age} & \\multirow{2}{*}{All} \\\\ a & b \\\\ 1 & 2 & 3\\end{tabular}',
      ),
    ).toBe(
      '<tr><th colspan="2">Age</th><th rowspan="2">All</th></tr>' +
        '<tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td><td>3</td></tr>',
    );
  });

  it('stand between paragraphs', () => {
    const html = renderBlocks('See\\begin{tabular}{c}1\\end{tabular}above.');
    expect(html).toBe('<p>See</p>\n<table><tr><th>1</th></tr></table><p>above.</p>\n');
  });
});

describe('plain texts', () => {
  it('are told from those that need rendering', () => {
    expect(isPlain('内罗毕 Nairobi & more')).toBe(true);
    expect(isPlain('$x$')).toBe(false);
    expect(isPlain('*x*')).toBe(false);
  });
});
