package telemetry

import "testing"

func TestStateIsPassedOnWhenValid(t *testing.T) {
	long := func(key string, n int) string {
		b := make([]byte, n-len(key)-1)
		for i := range b {
			b[i] = 'v'
		}
		return key + "=" + string(b)
	}
	many := func(n int) (all []string) {
		for i := range n {
			all = append(all, string([]byte{'a' + byte(i/26), 'a' + byte(i%26), '=', '1'}))
		}
		return all
	}
	for _, c := range []struct {
		name string
		give []string
		want string
	}{
		{"none", nil, ""},
		{"the standard's example", []string{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"two headers", []string{"rojo=1", "congo=2"}, "rojo=1,congo=2"},
		{"spaces around members", []string{"rojo=1 , \tcongo=2"}, "rojo=1,congo=2"},
		{"empty members", []string{",rojo=1,,", ""}, "rojo=1"},
		{"a tenant", []string{"fw529a3039@dt=FfffffeC"}, "fw529a3039@dt=FfffffeC"},
		{"spaces in a value", []string{"a=b c"}, "a=b c"},
		{"no value", []string{"rojo"}, ""},
		{"an empty value", []string{"rojo="}, ""},
		{"capitals in a key", []string{"Rojo=1"}, ""},
		{"two equal keys", []string{"rojo=1,rojo=2"}, ""},
		{"a key that begins as another", []string{"rojo=1,roj=2"}, "rojo=1,roj=2"},
		{"signs in a value", []string{"rojo=1=2"}, ""},
		{"a line feed", []string{"rojo=1\nevil"}, ""},
		{"not ASCII", []string{"rojo=é"}, ""},
		{"32 members", many(32), "aa=1,ab=1,ac=1,ad=1,ae=1,af=1,ag=1,ah=1,ai=1,aj=1,ak=1,al=1,am=1,an=1,ao=1,ap=1,aq=1,ar=1,as=1,at=1,au=1,av=1,aw=1,ax=1,ay=1,az=1,ba=1,bb=1,bc=1,bd=1,be=1,bf=1"},
		{"33 members", many(33), ""},
		{"too much: long members go first", []string{long("a", 120), long("b", 200), long("c", 120), long("d", 120)}, long("a", 120) + "," + long("c", 120) + "," + long("d", 120)},
		{"too much: then the last", []string{long("a", 120), long("b", 120), long("c", 120), long("d", 120), long("e", 120)}, long("a", 120) + "," + long("b", 120) + "," + long("c", 120) + "," + long("d", 120)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := stateOf(c.give); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
