"""dkim_verify.py DIR: verifies every DIR/*.eml with two independent verifiers and the records in DIR/records
(lines "NAME TXT"). Prints one line a message: its name, what dkimpy says of each signature, what Mail::DKIM says."""

import pathlib
import subprocess
import sys

import dkim

directory = pathlib.Path(sys.argv[1])
records = dict(line.split(" ", 1) for line in (directory / "records").read_text().splitlines())


def lookup(name, timeout=5):
    return records.get(name.decode().rstrip("."), "").encode() or None


PERL = r"""
use Mail::DKIM::Verifier;
my %records;
open my $r, "<", "$ARGV[0]/records" or die;
while (<$r>) { chomp; my ($n, $t) = split / /, $_, 2; $records{$n} = $t }
{
	no warnings "redefine";
	*Mail::DKIM::DNS::query = sub { my ($n) = @_; return unless $records{$n}; return bless { t => $records{$n} }, "RR" };
}
package RR; sub type { "TXT" } sub char_str_list { $_[0]{t} } sub txtdata { $_[0]{t} } package main;
my ($dir, @paths) = @ARGV;
for my $path (@paths) {
	open my $m, "<:raw", $path or die; local $/; my $text = <$m>;
	my $v = Mail::DKIM::Verifier->new; $v->PRINT($text); $v->CLOSE;
	print join(",", map { ($_->algorithm || "") . "=" . $_->result } $v->signatures), "\n";
}
"""


def verify(d, index):
    try:
        return "pass" if d.verify(index, dnsfunc=lookup) else "fail"
    except dkim.DKIMException:
        return "fail"


paths = sorted(directory.glob("*.eml"))
perl = subprocess.run(["/usr/bin/perl", "-e", PERL, directory, *paths], capture_output=True, text=True)
if perl.returncode != 0:
    sys.exit(perl.stderr)
for path, said in zip(paths, perl.stdout.split("\n")):
    message = path.read_bytes()
    count = message.lower().count(b"dkim-signature:")
    try:
        d = dkim.DKIM(message)
        python = [verify(d, i) for i in range(count)]
    except dkim.MessageFormatError:
        python = ["unreadable"]
    print(path.stem, ",".join(python), said, flush=True)
