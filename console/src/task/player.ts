/** Plays the log at a speed. Stretches in which nothing happened are cut short. */

import type { TaskSession } from './session';

/** No longer than so many milliseconds is nothing seen to happen. */
const LONGEST_WAIT = 1500;

export class Player {
  #time = 0;
  #frame = 0;
  #before = 0;

  constructor(
    readonly session: TaskSession,
    readonly speed: number,
    readonly onEnd: () => void,
  ) {}

  /** Returns what stops it. */
  start(): () => void {
    this.#time = this.session.log.timeOf(this.session.at);
    this.#frame = requestAnimationFrame((now) => {
      this.#before = now;
      this.#next();
    });
    return () => cancelAnimationFrame(this.#frame);
  }

  #next(): void {
    this.#frame = requestAnimationFrame((now) => this.#step(now));
  }

  #step(now: number): void {
    const { log, at } = this.session;
    this.#time += (now - this.#before) * this.speed;
    this.#before = now;
    const upcoming = log.times[at];
    if (upcoming === undefined) {
      this.session.seek(undefined);
      this.onEnd();
      return;
    }
    this.#time = Math.max(this.#time, upcoming - LONGEST_WAIT * this.speed);
    const reached = log.sequenceAt(this.#time);
    if (reached > at) this.session.seek(reached);
    this.#next();
  }
}
