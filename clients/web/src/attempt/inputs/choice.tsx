import type { Choice } from 'invigil-js';
import { RichLine } from '../../shared/rich';
import type { InputProps } from './input-props';

interface OptionProps {
  type: 'radio' | 'checkbox';
  name: string;
  value: string;
  letter: string;
  checked: boolean;
  disabled: boolean;
  text: string;
  onPick: (checked: boolean) => void;
}

function Option({ type, name, value, letter, checked, disabled, text, onPick }: OptionProps) {
  return (
    <label class={checked ? 'option is-checked' : 'option'}>
      <input
        type={type}
        name={name}
        value={value}
        checked={checked}
        disabled={disabled}
        onChange={(event) => onPick(event.currentTarget.checked)}
      />
      <span class="option-letter">{letter}</span>
      <RichLine text={text} />
    </label>
  );
}

/** Returns A, B, C … */
export const letterOf = (index: number) => String.fromCharCode(65 + (index % 26));

export function SingleChoice({ question, value, disabled, onEdit }: InputProps<string>) {
  return (
    <fieldset class="options">
      <legend>Choose one answer.</legend>
      {(question.options ?? []).map(({ id, text }: Choice, index) => (
        <Option
          key={id}
          type="radio"
          name={question.id}
          value={id}
          letter={letterOf(index)}
          checked={value === id}
          disabled={disabled}
          text={text}
          onPick={() => onEdit(id)}
        />
      ))}
    </fieldset>
  );
}

export function MultipleChoice({ question, value, disabled, onEdit }: InputProps<string[]>) {
  const options = question.options ?? [];
  const chosen = value ?? [];
  const pick = (id: string, checked: boolean) => {
    // The order does not depend on the candidate's paper.
    const next = options
      .map((option) => option.id)
      .filter((other) => (other === id ? checked : chosen.includes(other)))
      .toSorted();
    onEdit(next.length > 0 ? next : null);
  };
  return (
    <fieldset class="options">
      <legend>Choose all that are right.</legend>
      {options.map(({ id, text }, index) => (
        <Option
          key={id}
          type="checkbox"
          name={question.id}
          value={id}
          letter={letterOf(index)}
          checked={chosen.includes(id)}
          disabled={disabled}
          text={text}
          onPick={(checked) => pick(id, checked)}
        />
      ))}
    </fieldset>
  );
}

export function TrueFalse({ question, value, disabled, onEdit }: InputProps<boolean>) {
  return (
    <fieldset class="options options-row">
      <legend>True or false?</legend>
      {[true, false].map((side) => (
        <Option
          key={String(side)}
          type="radio"
          name={question.id}
          value={String(side)}
          letter={side ? 'T' : 'F'}
          checked={value === side}
          disabled={disabled}
          text={side ? 'True' : 'False'}
          onPick={() => onEdit(side)}
        />
      ))}
    </fieldset>
  );
}
