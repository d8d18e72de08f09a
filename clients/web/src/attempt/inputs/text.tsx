import { useEffect, useRef } from 'preact/hooks';
import { plural, wordCount } from '../../shared/format';
import type { InputProps } from './input-props';

export function ShortAnswer({ value, disabled, onEdit, onLeave }: InputProps<string>) {
  return (
    <div class="field">
      <label for="short-answer">Your answer</label>
      <input
        id="short-answer"
        type="text"
        autocomplete="off"
        value={value ?? ''}
        disabled={disabled}
        onInput={(event) => onEdit(event.currentTarget.value, true)}
        onBlur={onLeave}
      />
    </div>
  );
}

export function Essay({ value, disabled, onEdit, onLeave }: InputProps<string>) {
  const text = value ?? '';
  const area = useRef<HTMLTextAreaElement>(null);
  // The area grows with its text, so that the whole text is in sight.
  useEffect(() => {
    const element = area.current;
    if (!element) return;
    element.style.height = 'auto';
    element.style.height = `${element.scrollHeight + 2}px`;
  }, [text]);
  return (
    <div class="field">
      <label for="essay">Your answer</label>
      <textarea
        id="essay"
        ref={area}
        rows={10}
        value={text}
        disabled={disabled}
        aria-describedby="essay-count"
        onInput={(event) => onEdit(event.currentTarget.value, true)}
        onBlur={onLeave}
      />
      <p id="essay-count" class="muted">
        {plural(wordCount(text), 'word')} · {plural(Array.from(text).length, 'character')}
      </p>
    </div>
  );
}
