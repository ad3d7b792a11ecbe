/** A budget of bytes that requests share: what all bodies together may hold. */

/** Bytes that all bodies together may hold. */
export class ByteBudget {
  constructor(private left: number) {}

  open(): ByteShare {
    return new ByteShare(this);
  }

  /** Whether there was room for so many more. */
  take(bytes: number): boolean {
    if (bytes > this.left) {
      return false;
    }
    this.left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.left += bytes;
  }
}

/** What one request holds of a budget. */
export class ByteShare {
  private bytes = 0;

  constructor(private readonly budget: ByteBudget) {}

  take(bytes: number): boolean {
    const taken = this.budget.take(bytes);
    this.bytes += taken ? bytes : 0;
    return taken;
  }

  close(): void {
    this.budget.giveBack(this.bytes);
    this.bytes = 0;
  }
}
