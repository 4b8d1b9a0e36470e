import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // A shared machine stands still for seconds at times.
    expect: { poll: { timeout: 10_000 } },
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // Real sockets and child processes: two workers match the smallest machine this runs on.
    maxWorkers: 2,
  },
})
