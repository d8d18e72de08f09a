import type { Question, Value } from 'invigil-js';

/** The properties of every input. `V` is the form of its value. */
export interface InputProps<V extends Value> {
  question: Question;
  value: V | null;
  disabled: boolean;
  /** `hold`: more may follow at once, as with typing. */
  onEdit: (value: V | null, hold?: boolean) => void;
  /** Called when the person turns to something else: typed text can be sent. */
  onLeave: () => void;
}
