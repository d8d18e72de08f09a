import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { renderGaps } from '../../shared/markdown';
import { Rich } from '../../shared/rich';
import type { InputProps } from './input-props';

/** Blanks in the gaps of the text, or below a text without gaps. */
export function Blanks(props: InputProps<string[]>) {
  const { question } = props;
  const count = question.blanks ?? 1;
  const html = useMemo(
    () => renderGaps(question.content, count, blankHtml),
    [question.content, count],
  );
  return html === null ? (
    <BlankList {...props} count={count} />
  ) : (
    <BlankText {...props} html={html} count={count} />
  );
}

const blankHtml = (index: number) =>
  '<input class="blank" type="text" autocomplete="off" ' +
  `data-blank="${index}" aria-label="Blank ${index + 1}" />`;

/** Returns the value with one blank changed; null when all of them are empty. */
function changed(value: string[] | null, count: number, index: number, text: string) {
  const next = Array.from({ length: count }, (_, at) =>
    at === index ? text : (value?.[at] ?? ''),
  );
  return next.some((entry) => entry !== '') ? next : null;
}

interface Props extends InputProps<string[]> {
  count: number;
}

function BlankText({ value, disabled, onEdit, onLeave, html, count }: Props & { html: string }) {
  const text = useRef<HTMLDivElement>(null);
  // A layout effect: a later one would put the text back that was shown before the last
  // keystroke.
  useLayoutEffect(() => {
    for (const input of text.current?.querySelectorAll<HTMLInputElement>('.blank') ?? []) {
      const shown = value?.[Number(input.dataset['blank'])] ?? '';
      if (input.value !== shown) input.value = shown;
      input.disabled = disabled;
      input.style.width = `${Math.min(30, Math.max(7, shown.length + 3))}ch`;
    }
  }, [html, value, disabled]);
  const onInput = (event: Event) => {
    const { target } = event;
    if (!(target instanceof HTMLInputElement)) return;
    onEdit(changed(value, count, Number(target.dataset['blank']), target.value), true);
  };
  return (
    <div
      ref={text}
      class="rich blanks"
      role="group"
      aria-label="Text with blanks"
      onInput={onInput}
      onFocusOut={onLeave}
      dangerouslySetInnerHTML={{ __html: html }}
    />
  );
}

function BlankList({ question, value, disabled, onEdit, onLeave, count }: Props) {
  return (
    <>
      <Rich text={question.content} />
      <div class="field">
        {Array.from({ length: count }, (_, index) => (
          <div key={index}>
            <label for={`blank-${index}`}>
              {count === 1 ? 'Your answer' : `Blank ${index + 1}`}
            </label>
            <input
              id={`blank-${index}`}
              type="text"
              autocomplete="off"
              value={value?.[index] ?? ''}
              disabled={disabled}
              onInput={(event) =>
                onEdit(changed(value, count, index, event.currentTarget.value), true)
              }
              onBlur={onLeave}
            />
          </div>
        ))}
      </div>
    </>
  );
}
