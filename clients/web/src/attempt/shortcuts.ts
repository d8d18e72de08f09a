import { isFlagged, type Attempt } from 'invigil-js';
import { useLayoutEffect } from 'preact/hooks';

/** Shortcuts with Alt and Shift together, which leave typing, browsers and screen readers
 * alone. */
export const HELP: [keys: string, meaning: string][] = [
  ['Alt + Shift + N', 'Next question'],
  ['Alt + Shift + P', 'Previous question'],
  ['Alt + Shift + F', 'Flag the question for review, or take the flag off'],
  ['Alt + Shift + H', 'Show this list'],
  ['Tab, Shift + Tab', 'To the next or the previous control'],
  ['Arrow keys', 'Between the options of a choice; move an item or a point'],
  ['Escape', 'Close a dialog; in a program: let Tab leave the editor'],
];

interface Options {
  attempt: Attempt;
  q: string | null;
  index: number;
  go: (index: number) => void;
  enabled: boolean;
  onHelp: () => void;
}

export function useShortcuts({ attempt, q, index, go, enabled, onHelp }: Options): void {
  // A layout effect: a key that comes before the page was painted is for the new question.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!enabled || !event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey) return;
      const act: Record<string, () => void> = {
        KeyN: () => go(index + 1),
        KeyP: () => go(index - 1),
        KeyF: () => q !== null && attempt.flag(q, !isFlagged(attempt.state, q)),
        KeyH: onHelp,
      };
      const action = act[event.code];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
}
