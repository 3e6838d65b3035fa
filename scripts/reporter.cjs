/** Mocha's spec reporter, which also leaves its counts in the file that MILLRACE_COUNTS names. */
const { writeFileSync } = require('node:fs')
const Mocha = require('mocha')

module.exports = class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const pending = []
    runner.on('pending', (test) => pending.push(test.fullTitle()))
    runner.once('end', () => {
      const file = process.env.MILLRACE_COUNTS
      const { passes, failures } = runner.stats
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }))
    })
  }
}
