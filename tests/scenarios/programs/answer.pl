# The same in another language, without any library: each instance is answered with "yes".
use strict;
$| = 1;
while (my $line = <STDIN>) {
    if ($line =~ /^\s*\[/) {
        my $count = () = $line =~ /"input":/g;
        print "[", join(", ", ('"yes"') x $count), "]\n";
        next;
    }
    my ($data) = $line =~ /"offline_data_path": "([^"]*)"/;
    my ($output) = $line =~ /"offline_output_path": "([^"]*)"/;
    open(my $in, "<", $data) or die "cannot read $data";
    my @instances = <$in>;
    print "Model and data loaded. Start the timer.\n";
    print "Offline prediction done. Stop the timer.\n";
    open(my $out, ">", $output) or die "cannot write $output";
    print $out "{\"output\": \"yes\"}\n" for @instances;
    close($out);
    print "Offline outputs written. Exit.\n";
}
