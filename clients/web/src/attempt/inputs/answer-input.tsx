import type { Point, Program, Value } from 'invigil-js';
import { Blanks } from './blanks';
import { MultipleChoice, SingleChoice, TrueFalse } from './choice';
import { Coding } from './coding';
import { Hotspot } from './hotspot';
import type { InputProps } from './input-props';
import { Matching } from './matching';
import { Ordering } from './ordering';
import { Essay, ShortAnswer } from './text';

/** The input that fits the question's type. */
export function AnswerInput(props: InputProps<Value>) {
  switch (props.question.type) {
    case 'single_choice':
      return <SingleChoice {...as<string>(props)} />;
    case 'multiple_choice':
      return <MultipleChoice {...as<string[]>(props)} />;
    case 'true_false':
      return <TrueFalse {...as<boolean>(props)} />;
    case 'fill_blank':
      return <Blanks {...as<string[]>(props)} />;
    case 'short_answer':
      return <ShortAnswer {...as<string>(props)} />;
    case 'essay':
      return <Essay {...as<string>(props)} />;
    case 'coding':
      return <Coding {...as<Program>(props)} />;
    case 'matching':
      return <Matching {...as<Record<string, string>>(props)} />;
    case 'ordering':
      return <Ordering {...as<string[]>(props)} />;
    case 'hotspot':
      return <Hotspot {...as<Point[]>(props)} />;
  }
}

/** Narrows a value: the engine takes only values in the form of the question's type. */
function as<V extends Value>(props: InputProps<Value>): InputProps<V> {
  return { ...props, value: props.value as V | null };
}
