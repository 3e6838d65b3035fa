import { expect } from 'chai'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from '../../lib/assign/userData.ts'

describe('user data of the group', () => {
  it('comes back as it was sent', () => {
    const sent = { processId: 'p1', onDisk: { '0_1': 17, '1_0': 4 } }
    expect(decodeSubscription(encodeSubscription(sent), 'm')).to.deep.equal({ version: 1, ...sent })
    const assigned = { active: ['0_1'], standby: [] }
    expect(decodeAssignment(encodeAssignment(assigned))).to.deep.equal({ version: 1, ...assigned })
    const counts = new Map([['orders', 3]])
    const planned = decodeAssignment(encodeAssignment({ ...assigned, counts }))
    expect(planned).to.deep.equal({ version: 1, ...assigned, counts })
  })

  for (const bytes of ['', '\u0000\u0001', '[]', '7', 'null', '{"d":7,"p":3,"a":"x"}']) {
    it(`makes a member without state of one that says ${JSON.stringify(bytes)}`, () => {
      expect(decodeSubscription(Buffer.from(bytes), 'm')).to.deep.equal({ version: 0, processId: 'm', onDisk: {} })
      expect(decodeAssignment(Buffer.from(bytes))).to.deep.equal({ version: 0, active: [], standby: [] })
    })
  }

  it('reads what it knows of a later version', () => {
    const later = Buffer.from(JSON.stringify({ v: 9, p: 'p', d: { '0_0': 1, '0_1': 'text' }, more: true }))
    expect(decodeSubscription(later, 'm')).to.deep.equal({ version: 9, processId: 'p', onDisk: { '0_0': 1 } })
  })
})
