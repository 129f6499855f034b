"""bounce_readers.py FILE ...: what programs that clean mailing lists make of a report. One JSON object a FILE:
flufl.bounce's temporary and permanent failures, and Mail::DeliveryStatus::BounceParser's verdict: whether it is a bounce,
of which message, and its reports as address, reason, code. Neither shares anything with our code."""

import email
import json
import pathlib
import subprocess
import sys
import tempfile

from flufl.bounce import all_failures

PERL = r"""
use JSON::PP; use Mail::DeliveryStatus::BounceParser;
for my $path (@ARGV) {
	open my $m, "<:raw", $path or die "$path: $!"; local $/;
	my $b = Mail::DeliveryStatus::BounceParser->new(<$m>);
	my @r = map { my $r = $_; [ map { my $v = $r->get($_) // ""; chomp $v; $v } qw(email std_reason smtp_code) ] } $b->reports;
	my $id = $b->orig_message_id // ""; $id =~ s/\s+//g;
	print JSON::PP->new->canonical->encode({ bounce => $b->is_bounce ? 1 : 0, id => $id, reports => \@r }), "\n";
}
"""

with tempfile.TemporaryDirectory() as directory:
    copies = []
    for i, path in enumerate(sys.argv[1:]):  # they read mail as it lies on disk, with the line ends of the system
        copies.append(pathlib.Path(directory, str(i)))
        copies[-1].write_bytes(pathlib.Path(path).read_bytes().replace(b"\r\n", b"\n"))
    perl = subprocess.run(["/usr/bin/perl", "-e", PERL, *copies], capture_output=True, text=True)
    if perl.returncode != 0:
        sys.exit(perl.stderr)
    for copy, line in zip(copies, perl.stdout.splitlines()):
        temporary, permanent = all_failures(email.message_from_bytes(copy.read_bytes()))
        print(json.dumps({"temporary": sorted(a.decode() for a in temporary),
                          "permanent": sorted(a.decode() for a in permanent), **json.loads(line)}))
