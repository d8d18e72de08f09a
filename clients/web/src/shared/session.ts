/** The memory of an open tab: the person who signed in, and the attempt's token. */

import type { User } from './api';

/** The attempt that this tab is in. */
export interface Seat {
  attempt: string;
  token: string;
  exam: { code: string; title: string };
}

const USER = 'invigil.user';
const SEAT = 'invigil.seat';

function read(key: string): unknown {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? 'null');
  } catch {
    return null;
  }
}

const write = (key: string, value: unknown) => sessionStorage.setItem(key, JSON.stringify(value));

export const rememberedUser = () => read(USER) as User | null;
export const rememberUser = (user: User) => write(USER, user);
export const rememberedSeat = () => read(SEAT) as Seat | null;
export const takeSeat = (seat: Seat) => write(SEAT, seat);
export const leaveSeat = () => sessionStorage.removeItem(SEAT);

export function forgetUser(): void {
  sessionStorage.removeItem(USER);
  leaveSeat();
}
