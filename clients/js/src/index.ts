/**
 * The candidate's side of the live protocol.
 *
 * `reduce.ts` is the pure core, `shell.ts` performs its effects, `view.ts` answers a page's
 * questions to its state.
 */

export * from './codes';
export type * from './messages';
export * from './paper';
export { reduce } from './reduce';
export { unseal } from './seal';
export { Attempt, type Options } from './shell';
export * from './state';
export { opensInMs, remainingMs, sectionRemainingMs } from './timing';
export * from './view';
