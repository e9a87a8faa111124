export interface TestCounts {
  /** null: the output does not say. */
  readonly passed: number | null;
  readonly failed: number | null;
}

/** How test runners close. Where several run one after the other, what they say is added. */
const closings: readonly { readonly passed: RegExp; readonly failed: RegExp }[] = [
  // node:test, as TAP and as people read it.
  { passed: /^(?:#|ℹ) pass (\d+)$/, failed: /^(?:#|ℹ) fail (\d+)$/ },
  // Mocha.
  { passed: /^(\d+) passing\b/, failed: /^(\d+) failing\b/ },
  // Jest, and Vitest after it.
  { passed: /^Tests:?\s.*?(\d+) passed/, failed: /^Tests:?\s.*?(\d+) failed/ },
  // pytest.
  { passed: /^=+ .*?(\d+) passed.* in [\d.]+s/, failed: /^=+ .*?(\d+) failed.* in [\d.]+s/ },
  // cargo test.
  { passed: /^test result: \w+\. (\d+) passed;/, failed: /^test result: \w+\. \d+ passed; (\d+) failed;/ },
];

/** Reads what a test runner prints, line by line. Best effort: whether the tests passed is the exit code's to say, never this. */
export class TestCounter {
  readonly #closed = { passed: 0, failed: 0, any: false };
  readonly #lines = { passed: 0, failed: 0 };

  line(text: string): void {
    // Colours, and the indentation that closing lines stand in.
    // oxlint-disable-next-line no-control-regex
    const line = text.replaceAll(/\u001b\[[0-9;]*m/g, '');
    const trimmed = line.trim();
    for (const { passed, failed } of closings) {
      const [good, bad] = [passed.exec(trimmed)?.[1], failed.exec(trimmed)?.[1]];
      if (good === undefined && bad === undefined) continue;
      this.#closed.any = true;
      this.#closed.passed += Math.min(Number(good ?? 0), 1e9);
      this.#closed.failed += Math.min(Number(bad ?? 0), 1e9);
      return;
    }
    // go test -v, and plain TAP: tests at the top, without their subtests.
    if (line.startsWith('--- PASS: ') || /^ok \d+\b(?!.*# (SKIP|TODO))/i.test(line)) this.#lines.passed++;
    else if (line.startsWith('--- FAIL: ') || /^not ok \d+\b(?!.*# (SKIP|TODO))/i.test(line)) this.#lines.failed++;
  }

  counts(): TestCounts {
    if (this.#closed.any) return { passed: this.#closed.passed, failed: this.#closed.failed };
    const { passed, failed } = this.#lines;
    return passed + failed === 0 ? { passed: null, failed: null } : { passed, failed };
  }
}
