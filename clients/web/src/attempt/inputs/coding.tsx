import type { Program } from 'invigil-js';
import { useState } from 'preact/hooks';
import type { InputProps } from './input-props';

const INDENT = '    ';

/** A program: Tab indents, Escape gives Tab back to the keyboard's way through the page. */
export function Coding({ question, value, disabled, onEdit, onLeave }: InputProps<Program>) {
  const languages = question.languages ?? [];
  const [picked, setPicked] = useState(languages[0] ?? 'text');
  const [tabLeaves, setTabLeaves] = useState(false);
  const language = value?.language ?? picked;
  const source = value?.source ?? '';

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') setTabLeaves(true);
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.isComposing;
    if (!plain || !(event.currentTarget instanceof HTMLTextAreaElement)) return;
    if (event.key === 'Tab' && !event.shiftKey && !tabLeaves) {
      event.preventDefault();
      insert(INDENT);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      insert(`\n${indentOf(event.currentTarget)}`);
    }
  };

  return (
    <div class="field coding">
      {languages.length > 0 && (
        <>
          <label for="language">Language</label>
          <select
            id="language"
            value={language}
            disabled={disabled}
            onChange={(event) => {
              setPicked(event.currentTarget.value);
              if (value) onEdit({ language: event.currentTarget.value, source });
            }}
          >
            {languages.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </>
      )}
      <label for="source">Program</label>
      <textarea
        id="source"
        class="code"
        rows={14}
        wrap="off"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="none"
        value={source}
        disabled={disabled}
        aria-describedby="source-help"
        onKeyDown={onKeyDown}
        onInput={(event) => {
          const text = event.currentTarget.value;
          onEdit(text === '' ? null : { language, source: text }, true);
        }}
        onBlur={() => {
          setTabLeaves(false);
          onLeave();
        }}
      />
      <p id="source-help" class="muted">
        {tabLeaves
          ? 'Tab leaves the editor.'
          : 'Tab indents. Press Escape, then Tab, to leave the editor.'}
      </p>
    </div>
  );
}

/** Types a text that can be undone as a person's typing can. */
function insert(text: string): void {
  // No other way of changing a text area keeps its undo history.
  // oxlint-disable-next-line typescript/no-deprecated
  document.execCommand('insertText', false, text);
}

function indentOf({ value, selectionStart }: HTMLTextAreaElement): string {
  const line = value.slice(value.lastIndexOf('\n', selectionStart - 1) + 1, selectionStart);
  return /^[ \t]*/.exec(line)?.[0] ?? '';
}
