import { isPlain } from '../../shared/markdown';
import { RichLine } from '../../shared/rich';
import type { InputProps } from './input-props';
import { letterOf } from './choice';

/** A list of pairs. Texts that a `select` cannot show stand in a list of letters above it. */
export function Matching({
  question,
  value,
  disabled,
  onEdit,
}: InputProps<Record<string, string>>) {
  const right = question.right ?? [];
  const pairs = value ?? {};
  const choose = (left: string, id: string) => {
    const { [left]: _, ...others } = pairs;
    const next = id === '' ? others : { ...others, [left]: id };
    onEdit(Object.keys(next).length > 0 ? next : null);
  };
  const plain = right.every(({ text }) => isPlain(text));
  return (
    <fieldset class="matching">
      <legend>Choose a partner for each.</legend>
      {!plain && (
        <ul class="letters">
          {right.map(({ id, text }, index) => (
            <li key={id}>
              <span class="option-letter">{letterOf(index)}</span>
              <RichLine text={text} />
            </li>
          ))}
        </ul>
      )}
      {(question.left ?? []).map(({ id, text }) => (
        <div key={id} class="pair">
          <label for={`match-${id}`}>
            <RichLine text={text} />
          </label>
          <select
            id={`match-${id}`}
            value={pairs[id] ?? ''}
            disabled={disabled}
            onChange={(event) => choose(id, event.currentTarget.value)}
          >
            <option value="">Choose …</option>
            {right.map((choice, index) => (
              <option key={choice.id} value={choice.id}>
                {plain ? choice.text : letterOf(index)}
              </option>
            ))}
          </select>
        </div>
      ))}
    </fieldset>
  );
}
