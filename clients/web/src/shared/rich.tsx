import 'katex/dist/katex.min.css';
import '../styles/content.css';
import { renderBlocks, renderLine } from './markdown';

/** Markdown and LaTeX in paragraphs. */
export function Rich({ text }: { text: string }) {
  return <div class="rich" dangerouslySetInnerHTML={{ __html: renderBlocks(text) }} />;
}

/** Markdown and LaTeX in a line. */
export function RichLine({ text }: { text: string }) {
  return <span class="rich-line" dangerouslySetInnerHTML={{ __html: renderLine(text) }} />;
}
