import { render } from 'preact';
import { Attempt } from 'invigil-js';
import '../styles/base.css';
import '../styles/attempt.css';
import '../styles/question.css';
import { rememberedSeat } from '../shared/session';
import { App } from './app';
import { watchPage } from './integrity';

const root = document.getElementById('app');
const seat = rememberedSeat();
if (!seat) {
  location.replace('/');
} else if (root) {
  const attempt = new Attempt({
    attemptId: seat.attempt,
    token: seat.token,
    origin: location.origin,
    shelf: localStorage,
  });
  watchPage(attempt);
  attempt.start();
  render(<App attempt={attempt} seat={seat} />, root);
}
