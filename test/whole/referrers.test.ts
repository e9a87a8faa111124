// The long form of what stands beside the collector: a hundred thousand referrers, of which one is valid.
process.env['CAIRN_REFERRERS'] = '100000';
await import('../../src/server/collect.test.ts');
